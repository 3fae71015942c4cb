package lab

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"netsplit/kit"
)

// Manifest is the front matter of labs/<slug>/README.md. Unknown keys are refused.
type Manifest struct {
	Title   string `yaml:"title"`
	Kind    Kind   `yaml:"kind"`
	Nodes   int    `yaml:"nodes"`
	Minutes int    `yaml:"minutes"` // what a student should plan for
	Lesson  string `yaml:"lesson"`  // slug of the lesson to read, "part/slug" or "part/slug#heading"
	About   string `yaml:"about"`   // one line for lists
	// Seeds is how many runs a grade rests on when the command line does not say: 1 when left out for a script
	// or answer lab, 20 for a code lab.
	Seeds int    `yaml:"seeds"`
	Tasks []Task `yaml:"tasks"`

	brief string
}

// Task is one thing to achieve, with its points.
type Task struct {
	Name   string   `yaml:"name"`
	Title  string   `yaml:"title"`
	Points int      `yaml:"points"`
	After  []string `yaml:"after"`  // tasks of this lab that must have passed first
	Proves string   `yaml:"proves"` // the rationale shown with the verdict: why this is asked
	Lesson string   `yaml:"lesson"` // what to read again; the lab's lesson when left out
	Hints  []string `yaml:"hints"`  // from vague to nearly telling; never the solution
	// Answers names the questions of a task of an answer lab: the keys of answers.yaml.
	Answers []string `yaml:"answers"`
}

// Limits of a manifest.
const (
	maxReadme = 256 << 10
	maxTasks  = 24
	maxHints  = 6
	maxNodes  = 9
	maxSeeds  = 10_000
)

var (
	slugForm   = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	lessonForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*(#[a-z0-9-]+)?$`)
)

func validSlug(s string) bool { return len(s) <= 48 && slugForm.MatchString(s) }

// Task finds a task by its name.
func (m Manifest) Task(name string) (Task, bool) {
	i := slices.IndexFunc(m.Tasks, func(t Task) bool { return t.Name == name })
	if i < 0 {
		return Task{}, false
	}
	return m.Tasks[i], true
}

// TaskNames lists the tasks in order.
func (m Manifest) TaskNames() []string {
	var names []string
	for _, t := range m.Tasks {
		names = append(names, t.Name)
	}
	return names
}

// Points is the sum over all tasks.
func (m Manifest) Points() int {
	sum := 0
	for _, t := range m.Tasks {
		sum += t.Points
	}
	return sum
}

// ParseManifest reads a README.md with front matter between two lines "---". Anything wrong is an error of kind
// Invalid that says what.
func ParseManifest(readme []byte) (Manifest, error) {
	head, brief, err := splitFrontMatter(readme)
	if err != nil {
		return Manifest{}, bad(err)
	}
	var m Manifest
	if err := strictYAML(head, &m); err != nil {
		return Manifest{}, bad(err)
	}
	m.brief = brief
	if m.Seeds == 0 {
		m.Seeds = map[Kind]int{Script: 1, Answer: 1, Code: 20}[m.Kind]
	}
	for i := range m.Tasks {
		if m.Tasks[i].Lesson == "" {
			m.Tasks[i].Lesson = m.Lesson
		}
	}
	if err := m.validate(); err != nil {
		return Manifest{}, bad(err)
	}
	return m, nil
}

func bad(err error) error {
	return &kit.Error{Op: "read front matter", What: "README.md", Kind: kit.Invalid, Err: err}
}

func splitFrontMatter(readme []byte) (head []byte, brief string, err error) {
	if len(readme) > maxReadme {
		return nil, "", fmt.Errorf("it has %d bytes, at most %d are read", len(readme), maxReadme)
	}
	text := strings.ReplaceAll(string(readme), "\r\n", "\n")
	rest, ok := strings.CutPrefix(text, "---\n")
	if !ok {
		return nil, "", fmt.Errorf("the first line must be ---")
	}
	front, brief, ok := strings.Cut(rest, "\n---\n")
	if !ok {
		return nil, "", fmt.Errorf("no second line --- ends the front matter")
	}
	return []byte(front), strings.TrimLeft(brief, "\n"), nil
}

// strictYAML refuses unknown keys and a second document.
func strictYAML(src []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(src))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return err
	}
	var more any
	if d.Decode(&more) == nil {
		return fmt.Errorf("there is a second document")
	}
	return nil
}

func (m Manifest) validate() error {
	switch {
	case strings.TrimSpace(m.Title) == "":
		return fmt.Errorf("title is missing")
	case m.Kind != Script && m.Kind != Code && m.Kind != Answer:
		return fmt.Errorf("kind is %q, not script, code or answer", m.Kind)
	case m.Nodes < 1 || m.Nodes > maxNodes:
		return fmt.Errorf("nodes is %d, not 1 to %d", m.Nodes, maxNodes)
	case m.Minutes < 1 || m.Minutes > 600:
		return fmt.Errorf("minutes is %d, not 1 to 600", m.Minutes)
	case m.Seeds < 1 || m.Seeds > maxSeeds:
		return fmt.Errorf("seeds is %d, not 1 to %d", m.Seeds, maxSeeds)
	case m.Lesson != "" && !lessonForm.MatchString(m.Lesson):
		return fmt.Errorf("lesson %q is no lesson's slug", m.Lesson)
	case len(m.Tasks) == 0 || len(m.Tasks) > maxTasks:
		return fmt.Errorf("it has %d tasks, not 1 to %d", len(m.Tasks), maxTasks)
	}
	seen := map[string]bool{}
	for _, t := range m.Tasks {
		if err := t.validate(seen); err != nil {
			return fmt.Errorf("task %q: %w", t.Name, err)
		}
		seen[t.Name] = true
	}
	return m.validQuestions()
}

func (t Task) validate(before map[string]bool) error {
	switch {
	case !validSlug(t.Name):
		return fmt.Errorf("the name must be lower-case words joined by hyphens")
	case before[t.Name]:
		return fmt.Errorf("there are two of them")
	case strings.TrimSpace(t.Title) == "":
		return fmt.Errorf("title is missing")
	case t.Points < 1 || t.Points > 1000:
		return fmt.Errorf("points is %d, not 1 to 1000", t.Points)
	case t.Lesson != "" && !lessonForm.MatchString(t.Lesson):
		return fmt.Errorf("lesson %q is no lesson's slug", t.Lesson)
	case len(t.Hints) > maxHints:
		return fmt.Errorf("it has %d hints, at most %d", len(t.Hints), maxHints)
	}
	for _, a := range t.After {
		if !before[a] {
			return fmt.Errorf("it stands after %q, which is no earlier task", a)
		}
	}
	return nil
}
