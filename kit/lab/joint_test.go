package lab

import (
	"context"
	"testing"

	"netsplit/kit/grade"
)

// TestJointProgramsKeepApart: programs that are compiled as one get the verdicts that each gets by itself.
func TestJointProgramsKeepApart(t *testing.T) {
	g, l := system(t), greeter(t, "")
	solution, err := l.Reference()
	starter, err2 := l.Unsolved()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	refused := Submission{Name: "embeds", Files: map[string][]byte{"main.go": []byte("package main\n\n//go:embed main.go\nvar x string\n\nfunc main() {}\n")}}
	builds := 0
	build := g.Env.Build
	g.Env.Build = func(ctx context.Context, src Source) (Program, error) {
		builds++
		return build(ctx, src)
	}
	one, err := g.withJoint(t.Context(), l, []Submission{starter, solution, solution, refused})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sub  Submission
		want grade.Verdict
	}{{starter, grade.Fail}, {solution, grade.Pass}} {
		c.sub.Tests = nil
		r, err := one.Grade(t.Context(), l, c.sub, Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := taskIn(r, "hello"); got.Verdict != c.want || r.Problem != "" {
			t.Errorf("%s: %+v, problem %q", c.sub.Name, got, r.Problem)
		}
	}
	if builds != 0 {
		t.Errorf("%d programs were compiled by themselves", builds)
	}
	if r, err := one.Grade(t.Context(), l, refused, Options{Seed: 1}); err != nil || r.Problem == "" {
		t.Errorf("what no submission may have was graded: %+v, %v", r, err)
	}
}

// TestNotJoined wants each program compiled by itself when one of them cannot be moved into a package, or does not compile.
func TestNotJoined(t *testing.T) {
	ok := map[string][]byte{"main.go": []byte("package main\n\nfunc main() {}\n")}
	for name, other := range map[string]map[string][]byte{
		"a package below": {"main.go": ok["main.go"], "sub/sub.go": []byte("package sub\n")},
		"no main package": {"main.go": []byte("package other\n")},
		"no package":      {"main.go": []byte("what is this\n")},
	} {
		if got := joint("lab", []map[string][]byte{ok, other}); got != nil {
			t.Errorf("%s: %d files", name, len(got))
		}
	}
	g, l := system(t), greeter(t, "")
	all, err := g.Env.BuildAll(t.Context(), l.Slug, []map[string][]byte{ok, {"main.go": []byte("package main\n\nfunc main() { nothing() }\n")}})
	if err != nil || len(all) != 0 {
		t.Errorf("%d programs, %v", len(all), err)
	}
}
