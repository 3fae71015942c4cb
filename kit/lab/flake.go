package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"netsplit/kit/grade"
)

// LedgerFile stands in a lab's folder and holds its FlakeLedger.
const LedgerFile = "ledger.json"

// FlakeLedger says how sure a lab's verdicts are: what became of its solution on many seeds, and of its starter and
// mutants on a share of them. It holds no times and no dates, so that the same runs make the same file.
type FlakeLedger struct {
	Lab    string `json:"lab"`
	Digest string `json:"digest"` // of what the runs depend on in the lab and its solution
	Method string `json:"method"` // of the bounds, in words
	First  uint64 `json:"first_seed"`
	Runs   int    `json:"runs"`           // of the solution, with the first seed and those after it
	Grade  int    `json:"seeds_of_grade"` // how many seeds a grade rests on

	Solution Soaked            `json:"solution"`
	Starter  Soaked            `json:"starter"`
	Mutants  map[string]Soaked `json:"mutants"`
	Warnings []string          `json:"warnings,omitempty"`
}

// Soaked is what became of one program. A run failed when one of its tasks failed, and is unclear when none did but
// one was inconclusive.
type Soaked struct {
	Runs        int                 `json:"runs"`
	Passed      int                 `json:"passed"`
	Failed      int                 `json:"failed"`
	Unclear     int                 `json:"unclear"`
	FailureRate Rate                `json:"failure_rate"` // over all runs
	FailedSeeds []uint64            `json:"failed_seeds,omitempty"`
	Reasons     map[string]int      `json:"reasons,omitempty"` // why a run failed that should not have, or was unclear, and how often
	Tasks       map[string]TaskSoak `json:"tasks"`
}

// TaskSoak is what became of one task. Kill is there when the task is pinned as failed.
type TaskSoak struct {
	Passed  int   `json:"passed"`
	Failed  int   `json:"failed"`
	Unclear int   `json:"unclear"`
	Kill    *Kill `json:"kill,omitempty"`
}

// Kill says how surely a mistake is seen.
type Kill struct {
	Rate    Rate    `json:"rate_per_seed"`
	Seeds   float64 `json:"expected_seeds"` // until it is seen, by the estimate
	Missed  float64 `json:"missed"`         // the probability that a grade does not see it, by the estimate
	Suffice bool    `json:"suffice"`        // a grade's seeds do: missed is below 0.001
}

const (
	ledgerMethod = "each bound by itself holds with 95 % confidence (Clopper-Pearson)"
	// missLimit is how often a grade may fail to see a mistake that the lab says it sees.
	missLimit  = 1e-3
	maxLedger  = 1 << 20
	maxReasons = 20 // distinct ones; the rest is counted together
	otherCause = "other reasons"
)

func (s *Soaked) settle() { s.FailureRate = rateOf(s.Failed, s.Runs) }

func killOf(t TaskSoak, seeds int) *Kill {
	runs := t.Passed + t.Failed + t.Unclear
	k := &Kill{Rate: rateOf(t.Failed, runs)}
	if t.Failed > 0 {
		k.Seeds = math.Round(100*float64(runs)/float64(t.Failed)) / 100
	}
	k.Missed = 1.0
	if runs > 0 {
		k.Missed = missed(float64(t.Failed)/float64(runs), seeds)
	}
	k.Missed = math.Round(1e9*k.Missed) / 1e9
	k.Suffice = k.Missed < missLimit
	return k
}

// reason counts why, within bounds.
func (s *Soaked) reason(why string) {
	if s.Reasons == nil {
		s.Reasons = map[string]int{}
	}
	if _, known := s.Reasons[why]; !known && len(s.Reasons) >= maxReasons {
		why = otherCause
	}
	s.Reasons[why]++
}

// Standing tells a student, in a sentence, how far the lab's verdicts can be trusted; "" when no soak is on record.
func (l *Lab) Standing() string {
	if l.Ledger == nil {
		return ""
	}
	s := l.Ledger.Solution
	if s.Failed > 0 {
		return fmt.Sprintf("the lab's own solution failed %d of %d runs", s.Failed, s.Runs)
	}
	text := fmt.Sprintf("the lab's own solution failed none of %d runs; with 95 %% confidence it fails fewer than %s", s.Runs, oneIn(s.FailureRate.AtMost))
	if s.Unclear > 0 {
		text += fmt.Sprintf(" (%d runs said nothing)", s.Unclear)
	}
	return text
}

// Text is the ledger for a person: a line for each program.
func (f *FlakeLedger) Text() string {
	var b strings.Builder
	line := func(name string, s Soaked) {
		fmt.Fprintf(&b, "  %s: %d of %d runs failed, %d unclear; a run fails with a rate of %s\n", name, s.Failed, s.Runs, s.Unclear, s.FailureRate)
	}
	fmt.Fprintf(&b, "  the ledger of seeds %d to %d (%s):\n", f.First, f.First+uint64(f.Runs)-1, f.Method)
	line("solution", f.Solution)
	for _, why := range slices.Sorted(maps.Keys(f.Solution.Reasons)) {
		fmt.Fprintf(&b, "    %d times %s\n", f.Solution.Reasons[why], grade.Clean(why))
	}
	line("starter", f.Starter)
	for _, name := range slices.Sorted(maps.Keys(f.Mutants)) {
		tasks := f.Mutants[name].Tasks
		for _, task := range slices.Sorted(maps.Keys(tasks)) {
			if k := tasks[task].Kill; k != nil {
				fmt.Fprintf(&b, "  %s: %s fails with a rate of %s a seed; %.3g seeds to see it\n", name, task, k.Rate, k.Seeds)
			}
		}
	}
	return b.String()
}

// String gives the rate and its bounds in percent.
func (r Rate) String() string {
	return fmt.Sprintf("%.4g %% (%.4g to %.4g)", 100*r.Estimate, 100*r.AtLeast, 100*r.AtMost)
}

// oneIn says a small rate as people do, never smaller than it is.
func oneIn(rate float64) string {
	if n := math.Floor(1 / rate); n >= 3 {
		return fmt.Sprintf("1 in %.0f", n)
	}
	return fmt.Sprintf("%.0f in 100", math.Ceil(100*rate))
}

// CheckLedger holds a lab against its ledger. A solution that was seen to fail is a fault until a soak says otherwise;
// what is out of date, or was never recorded, is worth a word.
func (p *Proof) CheckLedger(l *Lab) {
	again := fmt.Sprintf("netsplit check --soak %d %s", soakRuns, l.Slug)
	led := l.Ledger
	if led == nil {
		p.warn("no soak is on record; %s makes one", again)
		return
	}
	if led.Solution.Failed > 0 {
		p.fault("its ledger says that the solution failed %d of %d runs, with seed %s first: mend it, then %s",
			led.Solution.Failed, led.Solution.Runs, firstOf(led.Solution.FailedSeeds), again)
	}
	if !l.OnRecord() {
		p.warn("the lab has changed since its ledger was written; %s brings it up to date", again)
	}
	p.Warnings = append(p.Warnings, led.Warnings...)
}

// OnRecord reports whether the lab has a ledger of what it is now, so that its wrong answers are known to be caught.
func (l *Lab) OnRecord() bool {
	digest, err := l.soakDigest()
	return err == nil && l.Ledger != nil && l.Ledger.Digest == digest
}

// soakRuns is how many runs a ledger is recommended to rest on.
const soakRuns = 400

func firstOf(seeds []uint64) string {
	if len(seeds) == 0 {
		return "(not known)"
	}
	return fmt.Sprint(seeds[0])
}

func (p *Proof) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// soakDigest names what a soak's outcome depends on: the lab's code, its starter, mutants and solution, and what the
// front matter says of seeds, nodes and tasks. The prose may change.
func (l *Lab) soakDigest() (string, error) {
	all := map[string][]byte{}
	for part, fsys := range map[string]fs.FS{"lab": l.files, "solution": l.solution} {
		files, err := readTree(fsys, func(name string) bool {
			return name != "README.md" && name != LedgerFile && (part == "solution" || !strings.HasSuffix(name, "_test.go"))
		})
		if err != nil {
			return "", err
		}
		for name, src := range files {
			all[part+"/"+name] = src
		}
	}
	m := l.Manifest
	text := fmt.Sprintln(m.Kind, m.Nodes, m.Seeds)
	for _, t := range m.Tasks {
		text += fmt.Sprintln(t.Name, t.After, t.Answers)
	}
	all["manifest"] = []byte(text)
	return digest(all), nil
}

// loadLedger reads a lab's ledger; nil when it has none.
func loadLedger(l *Lab) (*FlakeLedger, error) {
	f, err := l.files.Open(LedgerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxLedger+1))
	if err != nil {
		return nil, err
	}
	led, err := ReadLedger(src)
	if err == nil && led.Lab != l.Slug {
		err = fmt.Errorf("it is the ledger of %q", led.Lab)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", LedgerFile, err)
	}
	return led, nil
}

// ReadLedger reads what FlakeLedger.JSON wrote. Unknown fields, counts that do not add up and figures that do not follow
// from the counts are errors.
func ReadLedger(src []byte) (*FlakeLedger, error) {
	if len(src) > maxLedger {
		return nil, fmt.Errorf("it has more than %d bytes", maxLedger)
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	var led FlakeLedger
	if err := d.Decode(&led); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands after its end")
	}
	return &led, led.validate()
}

// JSON gives the ledger as it stands in its file.
func (f *FlakeLedger) JSON() ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	err := out.Encode(f)
	return b.Bytes(), err
}

func (f *FlakeLedger) validate() error {
	switch {
	case !validSlug(f.Lab) || f.Digest == "" || f.Method != ledgerMethod:
		return errors.New("it lacks the lab, the digest or the method")
	case f.Runs < 1 || f.Runs > maxSeeds || f.Grade < 1 || f.Grade > maxSeeds || f.First == 0:
		return fmt.Errorf("%d runs from seed %d for grades on %d", f.Runs, f.First, f.Grade)
	case f.Solution.Runs != f.Runs:
		return fmt.Errorf("the solution has %d runs, not %d", f.Solution.Runs, f.Runs)
	case len(f.Mutants) > maxMutants:
		return fmt.Errorf("it has %d mutants, at most %d", len(f.Mutants), maxMutants)
	}
	if len(f.Solution.FailedSeeds) != f.Solution.Failed {
		return fmt.Errorf("the solution failed %d runs, and %d seeds are named", f.Solution.Failed, len(f.Solution.FailedSeeds))
	}
	for _, seed := range f.Solution.FailedSeeds {
		if seed < f.First || seed >= f.First+uint64(f.Runs) {
			return fmt.Errorf("seed %d was not run", seed)
		}
	}
	if err := f.Solution.validate(f.Grade); err != nil {
		return fmt.Errorf("solution: %w", err)
	}
	if err := f.Starter.validate(f.Grade); err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Mutants)) {
		if err := f.Mutants[name].validate(f.Grade); err != nil {
			return fmt.Errorf("mutant %q: %w", name, err)
		}
	}
	return nil
}

func (s Soaked) validate(seeds int) error {
	if s.Runs < 0 || s.Passed < 0 || s.Failed < 0 || s.Unclear < 0 || s.Passed+s.Failed+s.Unclear != s.Runs {
		return fmt.Errorf("%d passed, %d failed and %d unclear are not %d runs", s.Passed, s.Failed, s.Unclear, s.Runs)
	}
	if s.FailureRate != rateOf(s.Failed, s.Runs) {
		return errors.New("its failure rate does not follow from the counts")
	}
	for name, t := range s.Tasks {
		if sum := t.Passed + t.Failed + t.Unclear; t.Passed < 0 || t.Failed < 0 || t.Unclear < 0 || sum > s.Runs {
			return fmt.Errorf("task %q has %d runs of %d", name, sum, s.Runs)
		}
		if t.Kill != nil && *t.Kill != *killOf(t, seeds) {
			return fmt.Errorf("task %q: its figures do not follow from the counts", name)
		}
	}
	return nil
}

// judgeSeeds warns of mistakes that a grade's seeds may not see.
func (f *FlakeLedger) judgeSeeds() {
	for _, name := range slices.Sorted(maps.Keys(f.Mutants)) {
		tasks := f.Mutants[name].Tasks
		for _, task := range slices.Sorted(maps.Keys(tasks)) {
			k := tasks[task].Kill
			if k == nil || k.Suffice {
				continue
			}
			text := fmt.Sprintf("mutant %s: %.0f %% of the seeds show that task %s fails, so a grade on %d misses it with probability %.2g",
				name, 100*k.Rate.Estimate, task, f.Grade, k.Missed)
			if n := seedsFor(k.Rate.Estimate, missLimit); n > 0 {
				text += fmt.Sprintf("; %d would do", n)
			}
			f.Warnings = append(f.Warnings, text)
		}
	}
}

// wanted gives the tasks that are pinned as failed.
func wanted(want map[string]grade.Verdict) map[string]bool {
	all := map[string]bool{}
	for t, v := range want {
		all[t] = v == grade.Fail
	}
	return all
}
