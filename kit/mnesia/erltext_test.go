package mnesia

import (
	"testing"

	"netsplit/kit/term"
)

// What is printed is read back as it was.
func TestTextRoundTrip(t *testing.T) {
	for _, text := range []string{
		`{tables,[{t,[{attributes,[k,v]}]}]}`, `{t,1,{x,[1,<<"two">>,3.5]}}`, `{'odd name',-7,#{a => [],b => {}}}`,
		`[<<1,2,255>>,<<"a\"b">>,123456789012345678901234567890,1.0e22]`,
	} {
		terms, err := parseTerms(text + ".\n% a comment\n")
		if err != nil || len(terms) != 1 {
			t.Fatalf("%s: %v %v", text, terms, err)
		}
		again, err := parseTerms(term.String(terms[0]) + ".")
		if err != nil || !term.Equal(again[0], terms[0]) {
			t.Errorf("%s: %v, %v", text, again, err)
		}
	}
	for _, bad := range []string{"{t,1", "{t,1}", "X.", "{t,,1}.", `"open.`, "<<300>>.", "1.2.3.", "#{a}."} {
		if terms, err := parseTerms(bad); err == nil {
			t.Errorf("%s is read as %v", bad, terms)
		}
	}
}

func FuzzParseTerms(f *testing.F) {
	f.Add(`{t,1,{x,[1,<<"two"/utf8>>,3.5]}}. #{a=>'b\x{41}'}.`)
	f.Fuzz(func(t *testing.T, s string) {
		terms, err := parseTerms(s)
		if err == nil && terms == nil {
			t.Fatal("neither terms nor an error")
		}
	})
}
