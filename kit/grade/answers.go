package grade

import (
	"fmt"
	"strconv"
	"strings"

	"netsplit/kit/history"
	"netsplit/kit/term"
)

// Question is one thing that a student reads off a running system.
type Question struct {
	Name string // of the answer: the key in answers.yaml, and the first argument of answer(name, value)
	// Where says where the system shows it, for an answer that is missing or wrong. It stands in the place of the
	// expected value, which is never told: a grade must not answer the question.
	Where string
	// Truth finds the right answer in what the grader itself asked the nodes before anybody worked on them (the phase
	// Observe). An error makes the task inconclusive.
	Truth func(h *history.History) (term.Term, error)
}

// Answered demands that every question was answered, and rightly. Names may be given as text or as atoms, numbers
// as numbers or as their digits. The share of right answers is credited.
func Answered(questions ...Question) Judge {
	return func(h *history.History) Finding {
		var missing, wrong, where, said []string
		for _, q := range questions {
			truth, err := q.Truth(h)
			if err != nil {
				return Unclear(fmt.Sprintf("the grader could not read the answer to %s off its own cluster: %v", q.Name, err))
			}
			got, given := h.Note(q.Name)
			switch {
			case !given:
				missing = append(missing, q.Name)
				said = append(said, q.Name+": no answer")
			case !sameAnswer(got, truth):
				wrong = append(wrong, q.Name)
				said = append(said, q.Name+": "+clip(plain(got), 80))
			default:
				continue
			}
			where = append(where, q.Name+": "+q.Where)
		}
		if len(where) == 0 {
			return Passed()
		}
		var why []string
		if len(wrong) > 0 {
			why = append(why, "not what the cluster shows: "+strings.Join(wrong, ", "))
		}
		if len(missing) > 0 {
			why = append(why, "not answered: "+strings.Join(missing, ", "))
		}
		f := Failed(strings.Join(why, "; "), "look again\n"+strings.Join(where, "\n"), strings.Join(said, "\n"))
		f.Credit = float64(len(questions)-len(where)) / float64(len(questions))
		return f
	}
}

func sameAnswer(got, truth term.Term) bool {
	return term.Equal(got, truth) || answerWord(got) != "" && answerWord(got) == answerWord(truth)
}

// answerWord gives names and whole numbers as one writes them; "" for all else.
func answerWord(t term.Term) string {
	switch t := t.(type) {
	case term.Atom:
		return string(t)
	case term.Bin:
		return strings.TrimSpace(string(t))
	case term.Int:
		return strconv.FormatInt(int64(t), 10)
	}
	return ""
}
