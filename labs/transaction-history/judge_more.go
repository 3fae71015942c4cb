package transactionhistory

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// formed is the check of part C.
func formed(h *history.History) grade.Finding {
	all, _, f := whole(h)
	if f.Verdict != grade.Pass {
		return f
	}
	for _, o := range by(h, printer, "statement") {
		list := all
		if len(wishMap(o.Args[2])) > 0 {
			list = nil // the filter that nothing satisfies
		}
		form := str(o.Args[3])
		text, ok := answer(o).(term.Bin)
		if !ok {
			return grade.Failed("there is no "+form, "a text", outcomeText(o), o.ID)
		}
		fault := map[string]func([]entry, string) (string, string, string){"table": tableFault, "json": jsonFault, "csv": csvFault}[form]
		if why, expected, actual := fault(list, string(text)); why != "" {
			return grade.Failed(why, expected, clip(actual), o.ID)
		}
	}
	return grade.Passed()
}

var headings = []string{"number", "date", "type", "amount", "description"}

// tableFault says what is wrong with a table, or nothing.
func tableFault(list []entry, text string) (why, expected, actual string) {
	if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		return "a description reaches the terminal with a control character in it", "nothing but printable characters", fmt.Sprintf("%q", text[i:min(len(text), i+20)])
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) != len(list)+1 {
		return "the table has not a line of headings and a line for each entry", fmt.Sprintf("%d lines", len(list)+1), fmt.Sprintf("%d lines", len(lines))
	}
	at := map[string]int{}
	for _, name := range headings {
		i := strings.Index(lines[0], name)
		if i < 0 {
			return "a heading is missing in the table", name, lines[0]
		}
		at[name] = i
	}
	for i, e := range list {
		line := []rune(lines[i+1])
		for name, value := range map[string]string{"number": fmt.Sprint(e.number), "amount": fmt.Sprint(e.amount)} {
			end := at[name] + len(name)
			if end > len(line) || !strings.HasSuffix(string(line[:end]), value) || end < len(line) && line[end] != ' ' ||
				end-len(value) > 0 && line[end-len(value)-1] != ' ' {
				return fmt.Sprintf("the %s does not end under its heading", name), fmt.Sprintf("%s ending in column %d", value, end), lines[i+1]
			}
		}
		if start := at["type"]; start > len(line) || !strings.HasPrefix(string(line[start:]), e.kind) {
			return "the type does not begin under its heading", fmt.Sprintf("%s beginning in column %d", e.kind, at["type"]+1), lines[i+1]
		}
	}
	return "", "", ""
}

func jsonFault(list []entry, text string) (why, expected, actual string) {
	var got []struct {
		Number      int64  `json:"number"`
		Type        string `json:"type"`
		Amount      int64  `json:"amount"`
		Description string `json:"description"`
	}
	if strings.TrimSpace(text) == "null" {
		return "no entries are null in JSON", "[]", text
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return "the JSON is not valid: " + err.Error(), "a list of objects", text
	}
	if len(got) != len(list) {
		return "the JSON has not an object for each entry", fmt.Sprintf("%d objects", len(list)), fmt.Sprintf("%d objects", len(got))
	}
	for i, e := range list {
		g := got[i]
		if g.Number != e.number || g.Type != e.kind || g.Amount != e.amount || g.Description != e.description {
			return "an object of the JSON is not its entry", e.String(), fmt.Sprintf("%+v", g)
		}
	}
	return "", "", ""
}

func csvFault(list []entry, text string) (why, expected, actual string) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return "the CSV cannot be read: " + err.Error(), "RFC 4180", text
	}
	if len(rows) != len(list)+1 || !slices.Equal(rows[0], headings) {
		return "the CSV has not a line of names and a row for each entry", fmt.Sprintf("%v and %d rows", headings, len(list)), clip(text)
	}
	for i, e := range list {
		words := strings.ReplaceAll(e.description, "\r\n", "\n")
		if words != "" && strings.ContainsRune("=+-@", rune(words[0])) {
			words = "'" + words
		}
		g := rows[i+1]
		switch {
		case g[0] != fmt.Sprint(e.number) || g[2] != e.kind || g[3] != fmt.Sprint(e.amount):
			return "a row of the CSV is not its entry", e.String(), strings.Join(g, " | ")
		case g[4] != words && strings.HasPrefix(words, "'"):
			return "a description that a spreadsheet takes for a formula is let through", words, g[4]
		case g[4] != words:
			return "a description of the CSV is not that of its entry", words, g[4]
		}
	}
	return "", "", ""
}

// The rates that the lab gives, in tenths of a thousandth.
var rates = map[string]int64{"EUR/USD": 10_850, "USD/EUR": 9_217}

// converted wants both sides of a transfer between currencies to hold the right amounts and the rate.
func (d *desk) converted(h *history.History) grade.Finding {
	var left []entry
	for _, o := range by(h, changer, "history") {
		list, ok := entriesOf(answer(o))
		if !ok {
			return grade.Failed("a history is not answered", "a list of entries", outcomeText(o), o.ID)
		}
		left = append(left, list...)
	}
	for _, o := range by(h, changer, "transfer") {
		words := str(o.Args[3])
		if words == "no rate" {
			if o.Outcome.Status == "ok" {
				return grade.Failed("a transfer between currencies without a rate was done", "a refusal", outcomeText(o), o.ID)
			}
			continue
		}
		if o.Outcome.Status != "ok" {
			return grade.Failed("a transfer between currencies was refused", "ok", outcomeText(o), o.ID)
		}
		pair := "EUR/USD"
		if str(o.Args[0]) == d.accounts[2].id {
			pair = "USD/EUR"
		}
		amount, rate := num(o.Args[2]), fmt.Sprintf("%d.%04d", rates[pair]/10_000, rates[pair]%10_000)
		for _, e := range []entry{
			{account: str(o.Args[0]), kind: "transfer_out", amount: amount, rate: rate},
			{account: str(o.Args[1]), kind: "transfer_in", amount: amount * rates[pair] / 10_000, rate: rate},
		} {
			ok := slices.ContainsFunc(left, func(g entry) bool {
				return g.account == e.account && g.description == words && g.kind == e.kind && g.amount == e.amount && g.rate == e.rate
			})
			if !ok {
				got := slices.DeleteFunc(slices.Clone(left), func(g entry) bool { return g.description != words || g.account != e.account })
				actual := "no entry"
				if len(got) > 0 {
					actual = fmt.Sprintf("%s of %d at rate %q", got[0].kind, got[0].amount, got[0].rate)
				}
				return grade.Failed(fmt.Sprintf("a transfer of %d from %s is recorded wrongly for %s", amount, strings.Replace(pair, "/", " to ", 1), e.account),
					fmt.Sprintf("%s of %d at rate %q", e.kind, e.amount, e.rate), actual, o.ID)
			}
		}
	}
	return grade.Passed()
}

// noticed wants each node to have told of every entry once, and of nothing else.
func (d *desk) noticed(h *history.History) grade.Finding {
	ops := by(h, listener, "history")
	if len(ops) == 0 {
		return grade.Unclear("nobody listened")
	}
	all, ok := entriesOf(answer(ops[0]))
	if !ok || len(all) == 0 {
		return grade.Failed("there is no history to be told of", "entries", outcomeText(ops[0]), ops[0].ID)
	}
	asked := by(h, listener, "notifications")
	for i := 0; i+1 < len(asked); i += 2 {
		first, second := asked[i], asked[i+1]
		got, ok := entriesOf(answer(first))
		if !ok {
			return grade.Failed("notifications are not answered", "a list of entries", outcomeText(first), first.ID)
		}
		slices.SortFunc(got, compare("number"))
		if !slices.Equal(got, all) {
			return grade.Failed(fmt.Sprintf("node %s does not tell of every entry exactly once", first.Node), numbersOf(all), numbersOf(got), first.ID)
		}
		if again, ok := entriesOf(answer(second)); !ok || len(again) > 0 {
			return grade.Failed("the same entries are told of again", "an empty list", outcomeText(second), first.ID, second.ID)
		}
	}
	return grade.Passed()
}
