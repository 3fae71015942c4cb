package lesson

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"

	"netsplit/kit"
)

// checkLinks resolves every link of every page; all anchors are known by then.
func (ld *loader) checkLinks() {
	for _, l := range ld.course.lessons {
		ld.checkPage(l.Page, "lessons/"+l.File)
	}
	for slug, p := range ld.course.briefs {
		ld.checkPage(p, "labs/"+slug+"/README.md")
	}
}

// checkPage resolves the links of one page; where is its path in the repository, to which links are relative.
func (ld *loader) checkPage(p *Page, where string) {
	_ = ast.Walk(p.doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		dest, ok := "", false
		switch n := n.(type) {
		case *ast.Link:
			dest, ok = unescape(string(n.Destination)), true
		case *ast.AutoLink:
			dest, ok = string(n.URL(p.source)), true
		}
		if !ok {
			return ast.WalkContinue, nil
		}
		link, why := ld.resolve(p, where, dest)
		if why != "" {
			ld.r.add(p.file, p.lineOf(n), "the link to %q is broken: %s", dest, why)
		}
		p.links[n] = link
		return ast.WalkContinue, nil
	})
}

// resolve finds what a link's destination means, or says why it means nothing.
func (ld *loader) resolve(p *Page, where, dest string) (Link, string) {
	u, err := url.Parse(dest)
	if err != nil {
		return Link{}, "it is no address"
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http":
		if u.Host == "" {
			return Link{}, "it names no host"
		}
		return Link{Kind: ToWeb, URL: u.String()}, ""
	case u.Scheme != "" || u.Host != "":
		return Link{}, "only https, lessons, labs and anchors can be linked"
	case u.Path == "":
		return Link{Kind: ToHere, Fragment: u.Fragment}, missingAnchor(p, u.Fragment)
	}
	target := path.Join(path.Dir(where), u.Path)
	if file, ok := strings.CutPrefix(target, "lessons/"); ok {
		for _, l := range ld.course.lessons {
			if l.File == file {
				return Link{Kind: ToLesson, Name: l.Name, Fragment: u.Fragment}, missingAnchor(l.Page, u.Fragment)
			}
		}
		return Link{}, "there is no lesson " + target + ld.nearFile(file)
	}
	if slug, ok := strings.CutPrefix(strings.TrimSuffix(target, "/README.md"), "labs/"); ok {
		if _, known := ld.course.LabOf(slug); !known {
			return Link{}, "there is no lab " + slug
		}
		brief := ld.course.briefs[slug]
		if brief == nil && u.Fragment != "" {
			return Link{}, "the lab's brief cannot be read"
		}
		return Link{Kind: ToLab, Name: slug, Fragment: u.Fragment}, missingAnchor(brief, u.Fragment)
	}
	return Link{}, "links lead to lessons/<part>/<lesson>.md, labs/<lab>/README.md, an anchor or https"
}

func (ld *loader) nearFile(file string) string {
	var files []string
	for _, l := range ld.course.lessons {
		files = append(files, l.File)
	}
	if n := kit.Near(file, files); len(n) > 0 {
		return "; did you mean " + n[0] + "?"
	}
	return ""
}

// missingAnchor says that a page lacks an anchor; an empty fragment always holds.
func missingAnchor(p *Page, fragment string) string {
	if fragment == "" || p.anchors[fragment] {
		return ""
	}
	if n := kit.Near(fragment, slices.Sorted(maps.Keys(p.anchors))); len(n) > 0 {
		return "no heading there has the id " + fragment + "; did you mean #" + n[0] + "?"
	}
	return "no heading there has the id " + fragment
}
