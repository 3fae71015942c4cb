package shell

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"netsplit/kit"
)

// Style says how errors are shown.
type Style struct {
	Colour bool
	Place  bool // name file and line even when the entry has only one
}

// ShowError writes an error as the shell does: the message, the place with its line when that helps, the hint.
func ShowError(w io.Writer, err error, st Style) {
	label, dim, off := "error:", "", ""
	if st.Colour {
		label, dim, off = "\x1b[31merror:\x1b[0m", "\x1b[2m", "\x1b[0m"
	}
	var se *ScriptError
	if !errors.As(err, &se) || se.Line == 0 {
		fmt.Fprintf(w, "%s %s\n", label, strings.TrimSpace(err.Error()))
	} else {
		fmt.Fprintf(w, "%s %s\n", label, se.Msg)
		if st.Place || se.In != "" && se.In != "lambda" {
			place := fmt.Sprintf("%s:%d", se.File, se.Line)
			if se.In != "" {
				place += ", in " + se.In
			}
			fmt.Fprintf(w, "  %s%s%s\n", dim, place, off)
			if se.Source != "" {
				fmt.Fprintf(w, "    %s\n", cutText(se.Source, 160))
			}
		}
	}
	if hint := kit.HintOf(err); hint != "" {
		fmt.Fprintf(w, "%shint: %s%s\n", dim, hint, off)
	}
}
