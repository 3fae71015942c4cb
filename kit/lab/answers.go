package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"netsplit/kit"
	"netsplit/kit/term"
)

// AnswerFile is what an answer lab grades: the questions' names as keys, what the student found as values.
const AnswerFile = "answers.yaml"

// Limits of an answer file.
const (
	maxAnswerFile = 64 << 10
	maxAnswerText = 256 // bytes of one answer
	maxQuestions  = 8   // of one task
)

var questionForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// Questions lists what the tasks of an answer lab ask for, in order.
func (m Manifest) Questions() []string {
	var names []string
	for _, t := range m.Tasks {
		names = append(names, t.Answers...)
	}
	return names
}

// validQuestions wants questions in every task of an answer lab, and in no other lab's.
func (m Manifest) validQuestions() error {
	seen := map[string]bool{}
	for _, t := range m.Tasks {
		switch {
		case m.Kind != Answer && len(t.Answers) > 0:
			return fmt.Errorf("task %q: only a lab of kind answer has answers", t.Name)
		case m.Kind == Answer && (len(t.Answers) == 0 || len(t.Answers) > maxQuestions):
			return fmt.Errorf("task %q: it asks for %d answers, not 1 to %d", t.Name, len(t.Answers), maxQuestions)
		}
		for _, q := range t.Answers {
			if !questionForm.MatchString(q) || seen[q] {
				return fmt.Errorf("task %q: the answer %q must have a name of its own, of lower-case letters, digits and _", t.Name, q)
			}
			seen[q] = true
		}
	}
	return nil
}

// parseAnswers reads an answer file: one mapping from questions of this lab to single values. Whole numbers become
// integers, all else is text as it stands there; an empty value is no answer. Anything else is an error of kind
// Invalid that names the line.
func (l *Lab) parseAnswers(src []byte) (map[string]term.Term, error) {
	top, err := answerMapping(src)
	if err != nil {
		return nil, refuse(AnswerFile, err.Error())
	}
	known := l.Manifest.Questions()
	answers, seen := map[string]term.Term{}, map[string]bool{}
	for i := 0; top != nil && i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		at := fmt.Sprintf("%s:%d", AnswerFile, key.Line)
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			return nil, unknownQuestion(at, key.Value, known)
		case seen[key.Value]:
			return nil, refuse(at, fmt.Sprintf("%s is answered twice", key.Value))
		}
		seen[key.Value] = true
		v, err := answerValue(value)
		if err != nil {
			return nil, refuse(at, fmt.Sprintf("%s: %v", key.Value, err))
		}
		if v != nil {
			answers[key.Value] = v
		}
	}
	return answers, nil
}

func unknownQuestion(at, name string, known []string) error {
	e := &kit.Error{Op: "read", What: at, Kind: kit.Invalid, Err: errors.New("every line is \"name: answer\""), Hint: "the names are " + strings.Join(known, ", ")}
	if name != "" && len(name) <= maxAnswerText {
		e.Err = fmt.Errorf("nothing called %q is asked", name)
	}
	if near := kit.Near(name, known); len(near) > 0 {
		e.Hint = fmt.Sprintf("did you mean %s?", near[0])
	}
	return e
}

// answerMapping gives the file's only mapping; nil when the file holds nothing but comments.
func answerMapping(src []byte) (*yaml.Node, error) {
	switch {
	case len(src) > maxAnswerFile:
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(src), maxAnswerFile)
	case !utf8.Valid(src):
		return nil, errors.New("it is no text in UTF-8")
	}
	d := yaml.NewDecoder(bytes.NewReader(src))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document")
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return nil, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, errors.New(`every line is "name: answer"`)
	}
	return top, nil
}

// answerValue reads one answer; nil is none. Nothing but whole numbers is converted, so that the node no or the name
// 1e3 stay what they are.
func answerValue(n *yaml.Node) (term.Term, error) {
	if n.Kind != yaml.ScalarNode {
		return nil, errors.New("an answer is one word or number")
	}
	text := strings.TrimSpace(n.Value)
	var whole int64
	switch {
	case text == "" || n.Tag == "!!null":
		return nil, nil
	case len(text) > maxAnswerText:
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(text), maxAnswerText)
	case n.Tag == "!!int" && n.Decode(&whole) == nil:
		return term.Int(whole), nil
	}
	return term.Bin(text), nil
}

// checkAnswerStarter wants a starter that asks every question and answers none.
func (l *Lab) checkAnswerStarter(src []byte) error {
	answers, err := l.parseAnswers(src)
	if err != nil {
		return err
	}
	if len(answers) > 0 {
		return fmt.Errorf("its starter's %s has answers already", AnswerFile)
	}
	top, err := answerMapping(src)
	if err != nil {
		return err
	}
	for _, q := range l.Manifest.Questions() {
		if top == nil || !slices.ContainsFunc(top.Content, func(n *yaml.Node) bool { return n.Value == q }) {
			return fmt.Errorf("its starter's %s does not ask %s", AnswerFile, q)
		}
	}
	return nil
}

// FillAnswers writes answers into the text of an answer file: each behind its question, comments and order as they
// were. Answers to what is not asked are an error of kind Invalid; another answer that stands there already is one of
// kind Exists, unless it may be replaced.
func (l *Lab) FillAnswers(src []byte, answers map[string]term.Term, replace bool) ([]byte, error) {
	old, err := l.parseAnswers(src)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(src), "\n")
	known := l.Manifest.Questions()
	for name, v := range answers {
		if !slices.Contains(known, name) {
			return nil, unknownQuestion("answer("+name+")", name, known)
		}
		text, err := answerLine(name, v)
		if err != nil {
			return nil, err
		}
		if was := old[name]; was != nil && !replace && !sameLine(name, was, v) {
			has, err := answerLine(name, was)
			return nil, &kit.Error{Op: "fill in", What: AnswerFile, Kind: kit.Exists, Err: errors.Join(err, fmt.Errorf("it says %q already, not %q", has, text))}
		}
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+":") })
		if i < 0 {
			lines = append(lines, text)
			continue
		}
		lines[i] = text
	}
	out := []byte(strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n")
	back, err := l.parseAnswers(out)
	for name, v := range answers {
		if err == nil && (back[name] == nil || !sameLine(name, back[name], v)) {
			err = refuse(AnswerFile, fmt.Sprintf("%s stands there in a form that cannot be filled in; write it as \"%s: answer\" on one line", name, name))
		}
	}
	return out, err
}

// sameLine reports whether two answers are written alike.
func sameLine(name string, a, b term.Term) bool {
	x, err := answerLine(name, a)
	y, err2 := answerLine(name, b)
	return err == nil && err2 == nil && x == y
}

// answerLine writes one answer as YAML.
func answerLine(name string, v term.Term) (string, error) {
	var text string
	switch v := v.(type) {
	case term.Atom:
		text = string(v)
	case term.Bin:
		text = strings.TrimSpace(string(v))
	case term.Int:
		return fmt.Sprintf("%s: %d", name, v), nil
	default:
		return "", refuse("answer("+name+")", "an answer is one word or number, not "+term.String(v))
	}
	value := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	b, err := yaml.Marshal(&value)
	return name + ": " + strings.TrimRight(string(b), "\n"), err
}
