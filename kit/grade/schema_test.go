package grade

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// schema is the part of JSON Schema that result.schema.json uses; a keyword beyond it fails the reading.
type schema struct {
	Meta        string             `json:"$schema"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Type        string             `json:"type"`
	Ref         string             `json:"$ref"`
	Enum        []string           `json:"enum"`
	Minimum     *int64             `json:"minimum"`
	MinLength   int                `json:"minLength"`
	MinItems    int                `json:"minItems"`
	Items       *schema            `json:"items"`
	Additional  *bool              `json:"additionalProperties"`
	Required    []string           `json:"required"`
	Properties  map[string]*schema `json:"properties"`
	Defs        map[string]*schema `json:"$defs"`
}

func readSchema(t *testing.T) *schema {
	t.Helper()
	raw, err := os.ReadFile("result.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	strictJSON(t, raw, &s)
	return &s
}

// against lists what in v is not as s says.
func (s *schema) against(root *schema, at string, v any) []string {
	if s.Ref != "" {
		def := root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if def == nil {
			return []string{at + ": no definition " + s.Ref}
		}
		return def.against(root, at, v)
	}
	bad := func(format string, args ...any) []string { return []string{at + ": " + fmt.Sprintf(format, args...)} }
	if s.Enum != nil {
		if text, ok := v.(string); !ok || !slices.Contains(s.Enum, text) {
			return bad("%v is none of %v", v, s.Enum)
		}
		return nil
	}
	var out []string
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return bad("an object, want %s", s.Type)
		}
		for _, key := range s.Required {
			if _, ok := v[key]; !ok {
				out = append(out, at+" lacks "+key)
			}
		}
		for key, e := range v {
			if p := s.Properties[key]; p != nil {
				out = append(out, p.against(root, at+"."+key, e)...)
			} else {
				out = append(out, at+" has "+key)
			}
		}
	case []any:
		if s.Type != "array" || len(v) < s.MinItems {
			return bad("an array of %d, want %s", len(v), s.Type)
		}
		for i, e := range v {
			out = append(out, s.Items.against(root, fmt.Sprintf("%s[%d]", at, i), e)...)
		}
	case string:
		if s.Type != "string" || len(v) < s.MinLength {
			return bad("string %q, want %s", v, s.Type)
		}
	case bool:
		if s.Type != "boolean" {
			return bad("a boolean, want %s", s.Type)
		}
	case json.Number:
		// A seed may be beyond int64; it is whole when it is written without point and exponent.
		if s.Type != "integer" || strings.ContainsAny(v.String(), ".eE") || s.Minimum != nil && strings.HasPrefix(v.String(), "-") {
			return bad("%v, want %s", v, s.Type)
		}
	default:
		return bad("%T", v)
	}
	return out
}

// TestResultsFollowTheSchema holds recorded grades of real clusters, and made ones, against the schema.
func TestResultsFollowTheSchema(t *testing.T) {
	s := readSchema(t)
	docs := map[string]string{"sample": string(written(t, "json", sample())), "unrun": string(written(t, "json", unrun())), "shrunk": string(written(t, "json", shortened())), "unshrunk": string(written(t, "json", unshortened()))}
	files, err := filepath.Glob(filepath.Join("testdata", "results", "*.json"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs[file] = string(raw)
	}
	for name, doc := range docs {
		if _, err := ReadJSON(strings.NewReader(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, fault := range s.against(s, "result", decoded(t, doc)) {
			t.Errorf("%s: %s", name, fault)
		}
	}
	for _, c := range [][2]string{{`"verdict": "fail"`, `"verdict": "skipped"`}, {`"score": `, `"score": -`}, {`"lab": "dirty-reads",`, ``},
		{`"seed": 7,`, `"seed": 7, "extra": 1,`}, {`"bit": true`, `"bit": "yes"`}, {`"ms": 1234`, `"ms": 1.5`}} {
		doc := strings.Replace(docs["sample"], c[0], c[1], 1)
		if doc == docs["sample"] || len(s.against(s, "result", decoded(t, doc))) == 0 {
			t.Errorf("the schema takes %s for %s", c[1], c[0])
		}
	}
}

func decoded(t *testing.T, doc string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchemaKnowsEveryField: a field that is added to the result and not to the schema is found, and the reverse.
func TestSchemaKnowsEveryField(t *testing.T) {
	s := readSchema(t)
	for name, c := range map[string]struct {
		schema *schema
		of     reflect.Type
	}{"result": {s, reflect.TypeFor[Result]()}, "task": {s.Defs["task"], reflect.TypeFor[Task]()}, "run": {s.Defs["run"], reflect.TypeFor[Run]()},
		"receipt": {s.Defs["receipt"], reflect.TypeFor[Receipt]()}, "submission": {s.Defs["submission"], reflect.TypeFor[Submission]()},
		"shrunk": {s.Defs["shrunk"], reflect.TypeFor[Shrunk]()}, "unshrunk": {s.Defs["unshrunk"], reflect.TypeFor[Unshrunk]()}, "size": {s.Defs["size"], reflect.TypeFor[Size]()},
		"kept": {s.Defs["kept"], reflect.TypeFor[Kept]()}, "numbers": {s.Defs["numbers"], reflect.TypeFor[KeptNumbers]()}} {
		var all, required []string
		for i := range c.of.NumField() {
			f := c.of.Field(i)
			if !f.IsExported() {
				continue
			}
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			all = append(all, tag)
			if options != "omitempty" {
				required = append(required, tag)
			}
		}
		slices.Sort(all)
		slices.Sort(required)
		if got := slices.Sorted(maps.Keys(c.schema.Properties)); !slices.Equal(got, all) {
			t.Errorf("%s has the fields %v, the schema %v", name, all, got)
		}
		if got := slices.Sorted(slices.Values(c.schema.Required)); !slices.Equal(got, required) {
			t.Errorf("%s always has %v, the schema requires %v", name, required, got)
		}
		if c.schema.Additional == nil || *c.schema.Additional {
			t.Errorf("%s may have other fields", name)
		}
	}
	if all := []Verdict{Pass, Fail, Inconclusive, Skipped}; fmt.Sprint(s.Defs["verdict"].Enum) != fmt.Sprint(all) {
		t.Errorf("verdicts %v", s.Defs["verdict"].Enum)
	}
}
