package lesson

import (
	"regexp"
	"testing"
	"testing/fstest"
)

// dangerous finds what must never reach a page, whatever a lesson holds.
var dangerous = regexp.MustCompile(`(?i)<script|<iframe|<style|="\s*javascript:|<[^>]*\son[a-z]+=["']?[a-z]`)

// FuzzPage: any bytes are either a page in both forms or a fault, never a panic and never active content.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		"## A\n\n> [!NOTE] x `y\n> z\n\n```go tab=\"a\"\nx\n```\n```sh tab=\"b\"\n$ y\n```\n",
		"[a](javascript:alert(1)) <script>x</script> ![i](x) [^1]\n\n[^1]: n\n",
		"{{code \"a.go\" \"b\"}}\n\n{{output \"x\"}}\n\n- [ ] t\n\n| a |\n|:-:|\n| `b` |\n",
		"```mermaid title=\"t\"\ngraph LR\n a-->b\n```\n\n## B {#x onclick=\"y\"}\n\n<https://x.y>\n",
		"> [!ANSWER]\n> - 1. > `x`\n>   ## y\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		front := "---\ntitle: T\nsummary: S\nminutes: 1\n---\n"
		c, err := Load(Sources{Lessons: fstest.MapFS{
			"course.yaml":   {Data: []byte("title: C\nheadline: H\nsummary: S\nparts:\n  - {dir: 1-p, title: P, summary: S}\n")},
			"1-p/01-l.md":   {Data: append([]byte(front), body...)},
			"output/x.txt":  {Data: []byte("$ y\nz")},
			"1-p/ignore.me": {Data: []byte("x")},
		}})
		if err != nil {
			return
		}
		l := c.Lessons()[0]
		html, err := l.HTML(func(l Link) string { return l.URL + "#" + l.Fragment })
		if err != nil {
			t.Fatal(err)
		}
		if bad := dangerous.FindString(html); bad != "" {
			t.Errorf("the page holds %q", bad)
		}
		for _, width := range []int{0, 60, 1000} {
			_ = l.Text(c, TextOptions{Width: width, Color: width == 60})
		}
	})
}
