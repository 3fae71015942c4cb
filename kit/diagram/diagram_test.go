package diagram

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestText runs the scripts in testdata: "text [width=N]" draws a source, "spacetime" a list of events.
func TestText(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			width := 80
			d.MaybeScanArgs(t, "width", &width)
			switch d.Cmd {
			case "text":
				dg, err := Parse(d.Input)
				if err != nil {
					return "error: " + err.Error() + "\n"
				}
				wellFormed(t, dg.SVG("x", "title"))
				return dg.Text(width)
			case "spacetime":
				st := events(t, d.Input)
				wellFormed(t, st.SVG("x", "title"))
				return st.Text(width)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

var eventKinds = map[string]EventKind{"point": Point, "send": Send, "lose": Lose, "cut": Cut, "heal": Heal, "down": Down, "up": Up}

// events reads "lanes a b" and lines of "MILLISECONDS KIND LANE [TO] text".
func events(t *testing.T, input string) *SpaceTime {
	t.Helper()
	st := &SpaceTime{}
	for line := range strings.SplitSeq(input, "\n") {
		f := strings.Fields(line)
		if f[0] == "lanes" {
			st.Lanes = f[1:]
			continue
		}
		ms, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatal(err)
		}
		e := Event{At: time.Duration(ms) * time.Millisecond, Kind: eventKinds[f[1]]}
		e.Lane, _ = strconv.Atoi(f[2])
		rest := f[3:]
		if len(rest) > 0 {
			if to, err := strconv.Atoi(rest[0]); err == nil {
				e.To, rest = to, rest[1:]
			}
		}
		e.Text = strings.Join(rest, " ")
		e.Text, e.Bad = strings.CutPrefix(e.Text, "! ")
		st.Events = append(st.Events, e)
	}
	return st
}

// wellFormed checks that a drawing is XML, has no inline style, and that its parts lie inside its view box.
func wellFormed(t *testing.T, svg string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(svg))
	var w, h float64
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
		el, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		at := map[string]float64{}
		for _, a := range el.Attr {
			if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
				t.Errorf("<%s> has the attribute %s", el.Name.Local, a.Name.Local)
			}
			at[a.Name.Local], _ = strconv.ParseFloat(a.Value, 64)
		}
		switch el.Name.Local {
		case "svg":
			w, h = at["width"], at["height"]
		case "rect":
			if at["x"] < 0 || at["y"] < 0 || at["x"]+at["width"] > w || at["y"]+at["height"] > h {
				t.Errorf("a box reaches outside the picture of %vx%v: %v", w, h, el.Attr)
			}
		}
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	dg, err := Parse("sequenceDiagram\n  A->>B: <script>alert(1)</script> & \"x\"")
	if err != nil {
		t.Fatal(err)
	}
	svg := dg.SVG("x", `a "title" <b>`)
	wellFormed(t, svg)
	if strings.Contains(svg, "<script") || strings.Contains(svg, "<b>") {
		t.Errorf("markup of a label reached the page: %s", svg)
	}
}

// FuzzParse: no source makes the parser or a drawing panic, and every drawing is well-formed.
func FuzzParse(f *testing.F) {
	f.Add("sequenceDiagram\nA->>+B: x\nNote over A,B: y\nloop z\nB--xA: w\nend")
	f.Add("graph TD\nsubgraph s [T]\nA[x] -->|l| B{y}\nend\nB -- no --> A & C\nC --> C")
	f.Add("flowchart LR\nA((x)) -.-> B[(d)] ==> C>f]")
	f.Fuzz(func(t *testing.T, src string) {
		if strings.ContainsFunc(src, func(r rune) bool { return r < ' ' && r != '\n' || r == 0xfffd || r == 0xfffe || r == 0xffff }) {
			t.Skip("XML cannot hold it")
		}
		dg, err := Parse(src)
		if err != nil {
			return
		}
		dg.Text(60)
		wellFormed(t, dg.SVG("x", "t"))
	})
}

func TestLongRunsAreCut(t *testing.T) {
	st := &SpaceTime{Lanes: []string{"a"}}
	for i := range MaxEvents + 7 {
		st.Events = append(st.Events, Event{At: time.Duration(i) * time.Millisecond, Text: "op"})
	}
	if got := st.Text(80); !strings.Contains(got, "(7 earlier events left out)") {
		t.Errorf("the cut is not told:\n%.200s", got)
	}
}
