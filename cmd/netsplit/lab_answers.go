package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
	"netsplit/kit/term"
)

// answerLab finds a lab of kind answer; nil when the name is another lab's, or a playground's.
func answerLab(name string) *lab.Lab {
	c, err := catalog()
	if err != nil {
		return nil
	}
	if l, err := c.Find(name); err == nil && l.Manifest.Kind == lab.Answer {
		return l
	}
	return nil
}

// exportAnswers fills answers.yaml of a workspace with what was handed in with answer(name, value) on its lab; the last
// answer to a question counts. Without a file it begins with the starter's.
func exportAnswers(cmd *cobra.Command, l *lab.Lab, dir string, force, toStdout bool) error {
	given, err := givenAnswers(l.Slug)
	if err != nil {
		return err
	}
	for name := range given {
		if asked := l.Manifest.Questions(); !slices.Contains(asked, name) {
			fmt.Fprintf(cmd.ErrOrStderr(), "left out answer(%q, ...): nothing of that name is asked; the names are %s\n", name, strings.Join(asked, ", "))
			delete(given, name)
		}
	}
	path := filepath.Join(dir, lab.AnswerFile)
	old, err := readBounded(path)
	if kit.KindOf(err) == kit.NotFound {
		old, err = fs.ReadFile(l.Starter(), lab.AnswerFile)
	}
	if err != nil {
		return err
	}
	text, err := l.FillAnswers(old, given, force)
	if err != nil {
		var e *kit.Error
		if errors.As(err, &e) && e.Kind == kit.Exists {
			e.Hint = "--force replaces it, --stdout --force prints the file instead of writing it"
		}
		return err
	}
	out := cmd.OutOrStdout()
	if toStdout {
		_, err := out.Write(text)
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return &kit.Error{Op: "export lab to", What: path, Kind: kit.Invalid, Err: err}
	}
	fmt.Fprintf(out, "wrote %s: %d answers\nnext: read it through, then \"netsplit grade %s\"\n", path, len(given), dir)
	return nil
}

// givenAnswers reads the answers of a lab's journal.
func givenAnswers(name string) (map[string]term.Term, error) {
	path, err := cluster.JournalPath("", name)
	if err != nil {
		return nil, err
	}
	entries, _, err := door.ReadJournal(path, 0)
	if err != nil {
		return nil, err
	}
	given := map[string]term.Term{}
	for _, e := range entries {
		if e.Kind != shell.JournalAnswer {
			continue
		}
		var g shell.Given
		if err := json.Unmarshal(e.Data, &g); err != nil {
			return nil, err
		}
		given[g.Name] = g.Value
	}
	if len(given) == 0 {
		return nil, &kit.Error{Op: "export lab", What: name, Kind: kit.NotFound, Err: errors.New("nothing has been answered yet"),
			Hint: fmt.Sprintf("say answer(name, value) in \"netsplit sh\", or edit %s yourself", lab.AnswerFile)}
	}
	return given, nil
}
