package node

import (
	"context"

	"fmt"
	"os"

	"netsplit/kit/simlink"
)

// Main runs a node program inside the simulator, which gives it everything, and ends it: with 0 when the
// simulator closes its link, with 1 after an error.
func Main(app App) {
	link, err := simlink.Open()
	if err == nil {
		err = RunSimulated(context.Background(), link, app)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}
