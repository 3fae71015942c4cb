package lab

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// Telling is what a failed task was explained by: a run that failed, or the shortest one found that fails the same way.
type Telling struct {
	Task     string           `json:"task"`
	Scenario string           `json:"scenario"`
	Seed     uint64           `json:"seed"`
	Receipts []grade.Receipt  `json:"receipts,omitempty"`
	Shrunk   *grade.Shrunk    `json:"shrunk,omitempty"`
	History  *history.History `json:"-"`
}

// tell gives away what failed tasks were explained by. A program that ended by itself failed for that reason, which no
// history holds.
func (led *ledger) tell(shown func(Submission, Telling)) {
	if shown == nil {
		return
	}
	for _, e := range led.entries {
		if e.failed() && e.shown != nil && e.shown.stopped == "" && !led.hopeless(e.task) {
			shown(led.sub, Telling{Task: e.task, Scenario: e.shown.scenario, Seed: e.shown.seed, Receipts: e.finding.Receipts,
				Shrunk: e.shrunk, History: e.shown.history})
		}
	}
}

// Tellings are what a lab's wrong answers were told, by the name of the mutant: recorded once, so that the wording can be
// tried on the same histories again and again, without running anything.
type Tellings map[string][]Telling

// Add takes what a mutant was told; anything else is not of interest.
func (t *Tellings) Add(sub Submission, told Telling) {
	name, ok := strings.CutPrefix(sub.Name, mutantPrefix)
	if !ok {
		return
	}
	if *t == nil {
		*t = Tellings{}
	}
	(*t)[name] = append((*t)[name], told)
}

// Write replaces what is recorded in dir: for each mutant a file that says what there is, the history of each failed task,
// and the text that a student gets.
func (t Tellings) Write(dir string, l *Lab) error {
	if len(t) == 0 {
		return nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	for mutant, told := range t {
		index, err := json.MarshalIndent(told, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, mutant+indexSuffix), append(index, '\n'), 0o644)
		}
		for _, one := range told {
			var b bytes.Buffer
			z := gzip.NewWriter(&b) // without a time in it, so that the same history makes the same file
			err = errors.Join(err, one.History.Write(z), z.Close())
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, historyFile(mutant, one.Task)), b.Bytes(), 0o644))
		}
		if err != nil {
			return err
		}
	}
	back, err := ReadTellings(os.DirFS(dir)) // as a test will: times are rounded in the file
	if err != nil {
		return err
	}
	for mutant := range back {
		text, err := back.Text(l, mutant)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, mutant+".txt"), []byte(text), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const indexSuffix = ".json"

func historyFile(mutant, task string) string { return mutant + "." + task + ".jsonl.gz" }

// ReadTellings reads what Write wrote for one lab.
func ReadTellings(dir fs.FS) (Tellings, error) {
	files, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	all := Tellings{}
	for _, f := range files {
		mutant, ok := strings.CutSuffix(f.Name(), indexSuffix)
		if !ok {
			continue
		}
		src, err := fs.ReadFile(dir, f.Name())
		var told []Telling
		if err == nil {
			err = json.Unmarshal(src, &told)
		}
		for i := range told {
			if err == nil {
				told[i].History, err = readZipped(dir, historyFile(mutant, told[i].Task))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		all[mutant] = told
	}
	return all, nil
}

// maxTelling bounds a history that is unpacked.
const maxTelling = 64 << 20

func readZipped(dir fs.FS, name string) (*history.History, error) {
	src, err := fs.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	return history.Read(io.LimitReader(z, maxTelling))
}

// Text judges the histories of a mutant again and writes the result as "netsplit grade" does.
func (t Tellings) Text(l *Lab, mutant string) (string, error) {
	r := (&Grader{}).blank(l, Submission{Name: "work", Dir: "my-work"}, Options{Seed: 1, Seeds: l.Manifest.Seeds})
	r.Isolation, r.Standing = "a recorded run", "" // what changes with other things than the wording
	for i := range r.Tasks {
		r.Tasks[i].Verdict = grade.Pass
	}
	for _, told := range t[mutant] {
		task := taskIn(r, told.Task)
		f, err := l.judgeAgain(told)
		if err != nil {
			return "", fmt.Errorf("mutant %s: %w", mutant, err)
		}
		f.Receipts = told.Receipts
		if told.Shrunk != nil {
			f = wholeStory(f, told.History)
		}
		task.Explain(f, told.History)
		task.Seed, task.Shrunk = told.Seed, told.Shrunk
		task.Replay = fmt.Sprintf("netsplit grade my-work --seed %d --seeds 1", told.Seed)
	}
	r.Settle()
	var b strings.Builder
	err := grade.Text(&b, r)
	return b.String(), err
}

// judgeAgain gives the finding that a history was recorded for.
func (l *Lab) judgeAgain(told Telling) (grade.Finding, error) {
	i := slices.IndexFunc(l.Scenarios, func(s Scenario) bool { return s.Name == told.Scenario })
	if i < 0 {
		return grade.Finding{}, &kit.Error{Op: "judge again", What: told.Scenario, Kind: kit.NotFound, Err: errors.New("there is no such scenario")}
	}
	found, err := judge(l.Scenarios[i].New(told.Seed).Checks, told.History)
	if err == nil && found[told.Task].Verdict != grade.Fail {
		err = fmt.Errorf("task %s gets %q from the history that it was recorded to fail with", told.Task, found[told.Task].Verdict)
	}
	return found[told.Task], err
}
