// Package site makes the course's web pages and serves them on the loopback interface. Pages are complete
// without scripts, use only relative links, and keep to a content security policy that allows nothing inline.
package site

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"path"
	"strings"

	"netsplit/kit"
	"netsplit/kit/diagram"
	"netsplit/kit/lesson"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Config is what a site is made from.
type Config struct {
	Course  *lesson.Course
	Version string // shown at the foot; may be empty
	// Progress says for each lab that was begun, by its slug, how far the reader is ("60 of 100"). It is asked once
	// for every page that shows it. May be nil.
	Progress func() map[string]string
}

// Site holds everything that the pages are written from. It is safe for concurrent use.
type Site struct {
	cfg    Config
	tmpl   *template.Template
	bodies map[string]template.HTML // by page path: "lessons/NAME/", "labs/SLUG/"
	assets map[string]asset         // by file name
}

type asset struct {
	body []byte
	kind string
	etag string
}

// New writes every page's body once, so that a fault shows at the start and not in a reader's browser.
func New(cfg Config) (*Site, error) {
	tmpl, err := template.ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, &kit.Error{Op: "parse templates", Kind: kit.Broken, Err: err}
	}
	s := &Site{cfg: cfg, tmpl: tmpl, bodies: map[string]template.HTML{}, assets: map[string]asset{}}
	if err := s.readAssets(); err != nil {
		return nil, &kit.Error{Op: "read assets", Kind: kit.Broken, Err: err}
	}
	write := func(at string, p *lesson.Page) error {
		body, err := p.HTML(func(l lesson.Link) string { return address(rootOf(at), l) })
		if err != nil {
			return &kit.Error{Op: "write page", What: at, Kind: kit.Broken, Err: err}
		}
		s.bodies[at] = template.HTML(body) // kit/lesson drops raw HTML and escapes what it writes
		return nil
	}
	for _, l := range cfg.Course.Lessons() {
		if err := write("lessons/"+l.Name+"/", l.Page); err != nil {
			return nil, err
		}
	}
	for _, lab := range cfg.Course.Labs {
		if brief := cfg.Course.Brief(lab.Slug); brief != nil {
			if err := write("labs/"+lab.Slug+"/", brief); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// rootOf gives the way from a page back to the start: "" for "", "../../" for "lessons/x/".
func rootOf(at string) string {
	if at == "" {
		return "./"
	}
	return strings.Repeat("../", strings.Count(at, "/"))
}

// address gives a link's relative address.
func address(root string, l lesson.Link) string {
	fragment := ""
	if l.Fragment != "" {
		fragment = "#" + l.Fragment
	}
	switch l.Kind {
	case lesson.ToLesson:
		return root + "lessons/" + l.Name + "/" + fragment
	case lesson.ToLab:
		return root + "labs/" + l.Name + "/" + fragment
	case lesson.ToWeb:
		return l.URL
	}
	return fragment
}

func (s *Site) readAssets() error {
	files, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return err
	}
	for _, f := range files {
		body, err := fs.ReadFile(staticFiles, "static/"+f.Name())
		if err != nil {
			return err
		}
		if f.Name() == "site.css" {
			body = append(body, diagram.CSS...)
		}
		kind := mime.TypeByExtension(path.Ext(f.Name()))
		switch path.Ext(f.Name()) { // not left to the machine's own table
		case ".css":
			kind = "text/css; charset=utf-8"
		case ".js":
			kind = "text/javascript; charset=utf-8"
		case ".svg":
			kind = "image/svg+xml"
		}
		s.assets[f.Name()] = asset{body: body, kind: kind, etag: etag(body)}
	}
	return nil
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf(`"%x"`, sum[:12])
}

// page is what the templates see.
type page struct {
	Kind     string // "start", "lesson", "lab", "missing"
	Root     string
	Course   *lesson.Course
	Version  string
	Title    string
	Summary  string
	Headline string
	Name     string // of the lesson, for the course's list
	Body     template.HTML
	TOC      []lesson.Heading
	Lesson   *lesson.Lesson
	Lab      lesson.Lab
	Progress string
	Before   []*lesson.Lesson
	First    *lesson.Lesson
	Labs     []labRow
	Near     []*lesson.Lesson
}

type labRow struct {
	Lab      lesson.Lab
	Progress string
}

func (s *Site) progress() map[string]string {
	if s.cfg.Progress == nil {
		return nil
	}
	return s.cfg.Progress()
}

// Paths lists every page: "", then lessons and labs in the course's order.
func (s *Site) Paths() []string {
	out := []string{""}
	for _, l := range s.cfg.Course.Lessons() {
		out = append(out, "lessons/"+l.Name+"/")
	}
	for _, l := range s.cfg.Course.Labs {
		out = append(out, "labs/"+l.Slug+"/")
	}
	return out
}

// Page writes the page at a path as Paths names it. The error is of kind NotFound when there is none.
func (s *Site) Page(at string) ([]byte, error) {
	p := page{Root: rootOf(at), Course: s.cfg.Course, Version: s.cfg.Version, Body: s.bodies[at]}
	section, name, _ := strings.Cut(strings.TrimSuffix(at, "/"), "/")
	switch {
	case at == "":
		return s.write("start.html", s.start(p))
	case section == "lessons" && at == "lessons/"+name+"/":
		for _, l := range s.cfg.Course.Lessons() {
			if l.Name == name {
				return s.write("lesson.html", s.lesson(p, l))
			}
		}
	case section == "labs" && at == "labs/"+name+"/":
		if lab, ok := s.cfg.Course.LabOf(name); ok {
			return s.write("lab.html", s.lab(p, lab))
		}
	}
	return nil, &kit.Error{Op: "find page", What: at, Kind: kit.NotFound}
}

func (s *Site) start(p page) page {
	p.Kind, p.Summary = "start", s.cfg.Course.Summary
	p.Headline = s.cfg.Course.Headline
	if all := s.cfg.Course.Lessons(); len(all) > 0 {
		p.First = all[0]
	}
	progress := s.progress()
	for _, lab := range s.cfg.Course.Labs {
		p.Labs = append(p.Labs, labRow{lab, progress[lab.Slug]})
	}
	return p
}

func (s *Site) lesson(p page, l *lesson.Lesson) page {
	p.Kind, p.Title, p.Summary, p.Name, p.Lesson, p.TOC = "lesson", l.Title, l.Summary, l.Name, l, l.TOC
	if lab, ok := s.cfg.Course.LabOf(l.Lab); ok {
		p.Lab, p.Progress = lab, s.progress()[lab.Slug]
	}
	return p
}

func (s *Site) lab(p page, lab lesson.Lab) page {
	p.Kind, p.Title, p.Summary, p.Lab, p.Progress = "lab", lab.Title, lab.About, lab, s.progress()[lab.Slug]
	p.Before = s.cfg.Course.LessonsOf(lab.Slug)
	if brief := s.cfg.Course.Brief(lab.Slug); brief != nil {
		p.TOC = brief.TOC
	}
	return p
}

// Missing writes the page for an address that leads nowhere. root is the way to the start page.
func (s *Site) Missing(root, asked string) ([]byte, error) {
	p := page{Kind: "missing", Root: root, Course: s.cfg.Course, Version: s.cfg.Version, Title: "No such page",
		Summary: "Nothing in this course has that address."}
	p.Near = s.cfg.Course.Near(path.Base(asked))
	return s.write("missing.html", p)
}

func (s *Site) write(name string, p page) ([]byte, error) {
	var b bytes.Buffer
	if err := s.tmpl.ExecuteTemplate(&b, name, p); err != nil {
		return nil, &kit.Error{Op: "write page", What: name, Kind: kit.Broken, Err: err}
	}
	return b.Bytes(), nil
}

// Assets gives the files that every page links to, by their name below assets/.
func (s *Site) Assets() map[string][]byte {
	out := map[string][]byte{}
	for name, a := range s.assets {
		out[name] = a.body
	}
	return out
}
