package lab

import (
	"strings"
	"testing"
	"unicode/utf8"

	"netsplit/kit/grade"
)

// sample has a cell of every kind.
func sample(tasks ...string) Proof {
	pin := func(want, got grade.Verdict) TaskProof { return TaskProof{Want: want, Got: got} }
	return Proof{Tasks: tasks,
		StarterTasks:  map[string]grade.Verdict{tasks[0]: grade.Fail, tasks[1]: grade.Skipped, tasks[2]: grade.Fail},
		SolutionTasks: map[string]grade.Verdict{tasks[0]: grade.Pass, tasks[1]: grade.Pass, tasks[2]: grade.Inconclusive},
		Mutants: map[string]MutantProof{
			"forgets":        {Tasks: map[string]TaskProof{tasks[0]: pin(grade.Fail, grade.Fail), tasks[1]: pin(grade.Skipped, grade.Skipped)}},
			"lives":          {Tasks: map[string]TaskProof{tasks[1]: pin(grade.Fail, grade.Pass)}},
			"says-too-much":  {Tasks: map[string]TaskProof{tasks[0]: pin(grade.Pass, grade.Fail), tasks[1]: pin(grade.Inconclusive, grade.Inconclusive)}},
			"test-of-a-test": {Tests: true, Tasks: map[string]TaskProof{tasks[2]: pin(grade.Fail, grade.Fail)}},
		}}
}

func TestMatrixInWords(t *testing.T) {
	const want = `
                  first  second    tests
  starter         FAIL   skip      FAIL
  solution        pass   pass      unclear!
  forgets         FAIL   skip      pass
  lives           pass   SURVIVED  pass
  says-too-much   FAIL!  unclear   pass
  test-of-a-test                   FAIL
`
	if got := "\n" + sample("first", "second", "tests").Matrix(80); got != want {
		t.Errorf("got%s", got)
	}
}

func TestMatrixInLetters(t *testing.T) {
	const want = `
                  1   2   3
  starter         F   -   F
  solution        .   .   ?!
  forgets         F   -   .
  lives           .   S!  .
  says-too-much   F!  ?   .
  test-of-a-test          F
  1 first-of-all-tasks,
  2 second-of-all-tasks,
  3 third-of-all-tasks
  . passes, F fails as pinned,
  - skipped, ? unclear, S survived,
  ! not as pinned
`
	if got := "\n" + sample("first-of-all-tasks", "second-of-all-tasks", "third-of-all-tasks").Matrix(40); got != want {
		t.Errorf("got%s", got)
	}
}

// TestMatrixFits draws matrices of many tasks and long names on lines of many lengths.
func TestMatrixFits(t *testing.T) {
	tasks := strings.Fields("record filter forms tests sorting pages access currencies notices")
	for _, width := range []int{1, 40, 60, 79, 80, 200} {
		for line := range strings.Lines(sample(tasks...).Matrix(width)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 48) {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
	}
}
