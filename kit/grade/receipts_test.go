package grade

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/diagram"
	"netsplit/kit/history"
)

// The scripts of testdata/receipts: "history" takes down a history by hand, "receipts" gives the receipts of all its
// faults, "cut" that of one cut, "faults" tells the faults as an explanation does.
func TestReceipts(t *testing.T) {
	datadriven.Walk(t, "testdata/receipts", func(t *testing.T, path string) {
		var h *history.History
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var b strings.Builder
			switch d.Cmd {
			case "history":
				var err error
				if h, err = history.Parse(d.Input); err != nil {
					return err.Error() + "\n"
				}
				fmt.Fprintf(&b, "%d operations, %d faults\n", len(h.Ops), len(h.Faults))
			case "receipts":
				for _, r := range FaultReceipts(h) {
					fmt.Fprintf(&b, "%s: bit %v: %s\n", r.Fault, r.Bit, r.Evidence)
				}
			case "cut":
				r := CutReceipt(h, nodes(d, "left"), nodes(d, "right"))
				fmt.Fprintf(&b, "%s: bit %v: %s\n", r.Fault, r.Bit, r.Evidence)
			case "faults":
				var lanes []string
				for _, f := range h.Faults {
					e := faultEvent(f, false, func(name string) int { lanes = append(lanes, name); return len(lanes) - 1 })
					shape := map[diagram.EventKind]string{diagram.Cut: "cut", diagram.Heal: "heal", diagram.Down: "down", diagram.Up: "up"}[e.Kind]
					fmt.Fprintln(&b, strings.TrimRight(line(Moment{From: f.At, To: f.At, Fault: &f})+"  "+shape, " "))
				}
			case "in-force":
				for _, f := range h.Faults {
					if inForce(h, f, h.End) {
						fmt.Fprintln(&b, faultText(f, false))
					}
				}
			default:
				d.Fatalf(t, "no command %q", d.Cmd)
			}
			return b.String()
		})
	})
}
