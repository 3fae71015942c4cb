package site

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"netsplit/kit"
	"netsplit/kit/lesson"
)

const course = `title: Course
headline: Big words
summary: What it is
parts:
  - {dir: 1-one, title: One, summary: First}
`

const first = "---\ntitle: \"First & foremost\"\nsummary: It begins\nminutes: 3\nlab: some-lab\n---\n" +
	"See [the end](02-last.md#end) and [the lab](../../labs/some-lab/README.md#do).\n\n## Part\n\n" +
	"```sh tab=\"A\"\ngo\n```\n```erlang tab=\"B\"\nok.\n```\n\n" +
	"```mermaid title=\"Two\"\nsequenceDiagram\n  a->>b: hi\n```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n> [!ANSWER] Why?\n> Because.\n"

func newSite(t *testing.T) *Site {
	t.Helper()
	c, err := lesson.Load(lesson.Sources{
		Lessons: fstest.MapFS{
			"course.yaml":       {Data: []byte(course)},
			"1-one/01-first.md": {Data: []byte(first)},
			"1-one/02-last.md":  {Data: []byte("---\ntitle: Last\nsummary: It ends\nminutes: 1\n---\n## End\n\nBye.\n")},
		},
		Labs: []lesson.Lab{{Slug: "some-lab", Title: "Some <lab>", Kind: "script", Minutes: 9, Points: 100,
			Tasks: []lesson.Task{{Name: "one", Title: "Do one thing", Points: 100}},
			Brief: []byte("---\ntitle: x\n---\n## Do\n\nDo [it](../../lessons/1-one/01-first.md).\n")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Course: c, Version: "v1", Progress: func() map[string]string { return map[string]string{"some-lab": "40 of 100"} }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryLinkOfEveryPageLeadsSomewhere(t *testing.T) {
	s := newSite(t)
	h := s.Handler()
	link := regexp.MustCompile(`(?:href|src)="([^"]*)"`)
	checked := 0
	for _, at := range s.Paths() {
		page := get(h, "/"+at)
		if page.Code != http.StatusOK {
			t.Errorf("%q answers %d", at, page.Code)
		}
		for _, m := range link.FindAllStringSubmatch(page.Body.String(), -1) {
			checked++
			checkLink(t, h, at, page.Body.String(), m[1])
		}
	}
	if checked < 40 {
		t.Errorf("only %d links were found", checked)
	}
}

func checkLink(t *testing.T, h http.Handler, at, body, href string) {
	t.Helper()
	if strings.HasPrefix(href, "/") || strings.Contains(href, "//") {
		t.Errorf("%q links to %q, which is not relative", at, href)
		return
	}
	base := httptest.NewRequest("GET", "http://localhost/"+at, nil).URL
	u, err := base.Parse(href)
	if err != nil {
		t.Errorf("%q links to %q: %v", at, href, err)
		return
	}
	target := body
	if !strings.HasPrefix(href, "#") {
		r := get(h, u.Path)
		if r.Code != http.StatusOK {
			t.Errorf("%q links to %q, which answers %d", at, href, r.Code)
		}
		target = r.Body.String()
	}
	if u.Fragment != "" && !strings.Contains(target, `id="`+u.Fragment+`"`) {
		t.Errorf("%q links to %q: there is no such id", at, href)
	}
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "127.0.0.1:7777"
	h.ServeHTTP(w, r)
	return w
}

func TestPagesNeedNoScriptAndNothingInline(t *testing.T) {
	s := newSite(t)
	inline := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<style|<script(?:>|[^>]*[^>]>[^<])|javascript:`)
	for _, at := range s.Paths() {
		page, err := s.Page(at)
		if err != nil {
			t.Fatal(err)
		}
		if m := inline.Find(page); m != nil {
			t.Errorf("%q holds %s, which the policy forbids", at, m)
		}
		for _, want := range []string{`<html lang="en">`, `<main id="main"`, `class="skip" href="#main"`, `name="viewport"`, "<h1"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%q lacks %s", at, want)
			}
		}
	}
}

func TestStartPageShowsLabsAndProgress(t *testing.T) {
	body := get(newSite(t).Handler(), "/").Body.String()
	for _, want := range []string{"Big words", "First &amp; foremost", "Some &lt;lab&gt;", "40 of 100", `href="./lessons/first/"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the start page lacks %q", want)
		}
	}
}

func TestLessonPageLeadsToItsLab(t *testing.T) {
	body := get(newSite(t).Handler(), "/lessons/first/").Body.String()
	for _, want := range []string{"netsplit lab start some-lab", "netsplit grade", "Do one thing", `rel="next" href="../../lessons/last/"`,
		`href="../../lessons/last/#end"`, `href="../../labs/some-lab/#do"`, "<details", `type="radio"`, "<svg"} {
		if !strings.Contains(body, want) {
			t.Errorf("the lesson's page lacks %q", want)
		}
	}
}

func TestMissingPagesSayWhatIsNear(t *testing.T) {
	h := newSite(t).Handler()
	for path, want := range map[string]string{
		"/lessons/frist/":   "Did you mean",
		"/assets/x.css":     "No such page",
		"/labs/../secrets":  "",
		"/lessons/first/x/": "No such page",
		"/labs/nolab/":      "No such page",
	} {
		r := get(h, path)
		if r.Code != http.StatusNotFound && want != "" || !strings.Contains(r.Body.String(), want) {
			t.Errorf("%s answers %d without %q", path, r.Code, want)
		}
	}
	if r := get(h, "/lessons/first"); r.Code != http.StatusMovedPermanently || r.Header().Get("Location") != "/lessons/first/" {
		t.Errorf("without its slash a lesson answers %d to %q", r.Code, r.Header().Get("Location"))
	}
	if r := get(h, "//evil.example/lessons/first"); r.Code == http.StatusMovedPermanently && strings.HasPrefix(r.Header().Get("Location"), "//") {
		t.Errorf("a path with two slashes redirects to %q", r.Header().Get("Location"))
	}
}

func TestGuard(t *testing.T) {
	reached := false
	h := Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	for _, c := range []struct {
		what, method, host string
		header             map[string]string
		want               int
	}{
		{"a plain visit", "GET", "127.0.0.1:7777", nil, 200},
		{"by name", "GET", "LocalHost:7777", nil, 200},
		{"over IPv6", "HEAD", "[::1]:7777", nil, 200},
		{"a link from elsewhere", "GET", "127.0.0.1:7777", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 200},
		{"a name that was bound to 127.0.0.1", "GET", "evil.example:7777", nil, 421},
		{"a name that only begins well", "GET", "localhost.evil.example", nil, 421},
		{"an address in the network", "GET", "192.168.1.2:7777", nil, 421},
		{"no host", "GET", "", nil, 421},
		{"a form of another site", "POST", "127.0.0.1:7777", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"an old browser's form", "POST", "127.0.0.1:7777", map[string]string{"Origin": "https://evil.example"}, 403},
		{"an own form", "POST", "127.0.0.1:7777", map[string]string{"Sec-Fetch-Site": "same-origin"}, 405},
		{"a tool", "DELETE", "127.0.0.1:7777", nil, 405},
	} {
		reached = false
		r := httptest.NewRequest(c.method, "http://x/", nil)
		r.Host = c.host
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || reached != (c.want == 200) {
			t.Errorf("%s: %d, reached %v; want %d", c.what, w.Code, reached, c.want)
		}
		if got := w.Header().Get("Content-Security-Policy"); got != Policy {
			t.Errorf("%s: policy %q", c.what, got)
		}
	}
}

func TestUnchangedPagesAreNotSentAgain(t *testing.T) {
	h := newSite(t).Handler()
	for _, path := range []string{"/", "/lessons/first/", "/assets/site.css"} {
		w := get(h, path)
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		h.ServeHTTP(again, r)
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: %d with %d bytes", path, again.Code, again.Body.Len())
		}
	}
}

// TestServe speaks to a real socket: a page, a head, a slow client that must not hold up the end.
func TestServe(t *testing.T) {
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, Guard(newSite(t).Handler())) }()

	for _, method := range []string{"GET", "HEAD"} {
		req, err := http.NewRequest(method, URL(ln)+"lessons/first/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || (len(body) == 0) != (method == "HEAD") || resp.ContentLength <= 0 {
			t.Errorf("%s: %d, %d bytes of %d, %v", method, resp.StatusCode, len(body), resp.ContentLength, err)
		}
	}

	slow, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: localhost\r\n") // and never more
	big, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	fmt.Fprintf(big, "GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	if line, _ := bufio.NewReader(big).ReadString('\n'); !strings.Contains(line, "431") {
		t.Errorf("64 KiB of headers get %q", line)
	}

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the end: %v", err)
		}
	case <-time.After(2 * stopGrace):
		t.Fatal("the server does not end while a client says nothing")
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for addr, want := range map[string]kit.Kind{
		"0.0.0.0:0":           kit.Refused,
		":8080":               kit.Refused,
		"192.168.1.1:8080":    kit.Refused,
		"example.com:80":      kit.Refused,
		"[::]:0":              kit.Refused,
		"7777":                kit.Invalid,
		"127.0.0.1:http":      kit.Invalid,
		"127.0.0.1:70000":     kit.Invalid,
		taken.Addr().String(): kit.Exists,
	} {
		ln, err := Listen(addr)
		if err == nil {
			_ = ln.Close()
		}
		if kit.KindOf(err) != want || kit.HintOf(err) == "" {
			t.Errorf("%s: %v (%v), hint %q; want %v", addr, err, kit.KindOf(err), kit.HintOf(err), want)
		}
	}
}

func TestDefaultPortFallsForward(t *testing.T) {
	one, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := Listen("")
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if one.Addr().String() == two.Addr().String() {
		t.Error("both have the same port")
	}
}

// TestContrast holds every colour of text to WCAG's 4.5 against every ground it can stand on, in both themes.
func TestContrast(t *testing.T) {
	css := string(newSite(t).Assets()["site.css"])
	property := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`)
	for theme, start := range map[string]string{"light": ":root {", "dark": `:root[data-theme="dark"] {`} {
		_, block, _ := strings.Cut(css, start)
		block, _, _ = strings.Cut(block, "}")
		colors := map[string]string{}
		for _, m := range property.FindAllStringSubmatch(block, -1) {
			colors[m[1]] = m[2]
		}
		for _, text := range []string{"ink", "quiet", "accent", "bad", "k", "s", "c", "n", "f", "a", "v"} {
			for _, ground := range []string{"paper", "sheet", "soft", "accent-soft"} {
				if ratio := contrast(t, colors[text], colors[ground]); ratio < 4.5 {
					t.Errorf("%s: --%s on --%s has a contrast of %.2f", theme, text, ground, ratio)
				}
			}
		}
		if ratio := contrast(t, colors["note-ink"], colors["note"]); ratio < 4.5 {
			t.Errorf("%s: notes have a contrast of %.2f", theme, ratio)
		}
	}
}

// contrast is WCAG's ratio of two colours written #rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	light := func(color string) float64 {
		var r, g, bl int
		if _, err := fmt.Sscanf(color, "#%02x%02x%02x", &r, &g, &bl); err != nil {
			t.Fatalf("%q is no colour: %v", color, err)
		}
		linear := func(v int) float64 {
			x := float64(v) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(bl)
	}
	hi, lo := light(a), light(b)
	if hi < lo {
		hi, lo = lo, hi
	}
	return (hi + 0.05) / (lo + 0.05)
}

func BenchmarkPage(b *testing.B) {
	c, err := lesson.Load(lesson.Sources{Lessons: fstest.MapFS{
		"course.yaml":       {Data: []byte(course)},
		"1-one/01-first.md": {Data: []byte("---\ntitle: T\nsummary: S\nminutes: 1\n---\n" + strings.Repeat("Some `text` for a page.\n\n", 400))},
	}})
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Course: c})
	if err != nil {
		b.Fatal(err)
	}
	h := Guard(s.Handler())
	for b.Loop() {
		get(h, "/lessons/first/")
	}
}
