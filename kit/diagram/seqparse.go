package diagram

import (
	"regexp"
	"strconv"
	"strings"
)

// Sequence is a sequence diagram: actors side by side, items from top to bottom.
type Sequence struct {
	Actors []Actor
	Items  []Item
}

// Actor is one life line.
type Actor struct {
	ID    string
	Label []string
}

// Item is one row of a sequence diagram; Kind says which fields count.
type Item struct {
	Kind     ItemKind
	From, To int      // actor indexes; for notes the first and last actor covered
	Text     []string // label lines
	Number   int      // from autonumber; 0 for none
	Dotted   bool
	Head     head
	Start    bool   // the receiver's activation starts (+)
	Stop     bool   // the sender's activation ends (-)
	Side     string // for notes: "over", "left", "right"
	Block    string // for BlockStart and BlockPart: loop, alt, else, ...
}

// ItemKind says what an item is.
type ItemKind int

// The kinds of item.
const (
	Message ItemKind = iota
	Note
	Activate
	Deactivate
	BlockStart
	BlockPart
	BlockEnd
)

var (
	seqArrow = regexp.MustCompile(`^(.+?)\s*(-->>|->>|-->|->|--x|-x|--\)|-\))\s*([+-]?)\s*([^:]+?)\s*(?::\s*(.*))?$`)
	seqNote  = regexp.MustCompile(`^(?i:note)\s+(over|left of|right of)\s+([^:]+?)\s*:\s*(.*)$`)
	seqActor = regexp.MustCompile(`^(?:participant|actor)\s+(\S+)(?:\s+as\s+(.+))?$`)
)

// blockParts says which words may divide a block; every other block has one part.
var blockParts = map[string]string{"loop": "", "opt": "", "break": "", "alt": "else", "par": "and", "critical": "option"}

type seqParser struct {
	seq    *Sequence
	index  map[string]int
	number int // next autonumber, 0 when off
	open   []string
}

func parseSequence(lines []string, offset int) (*Sequence, error) {
	p := &seqParser{seq: &Sequence{}, index: map[string]int{}}
	for i, raw := range lines {
		line := strings.TrimSuffix(uncomment(raw), ";")
		if line == "" {
			continue
		}
		if err := p.line(line, offset+i+1); err != nil {
			return nil, err
		}
		if len(p.seq.Items) > maxItems {
			return nil, fault(offset+i+1, "more than %d items", maxItems)
		}
	}
	if len(p.open) > 0 {
		return nil, fault(offset+len(lines), "%q has no end", p.open[len(p.open)-1])
	}
	if len(p.seq.Actors) == 0 {
		return nil, fault(offset, "the sequence diagram has no participant")
	}
	return p.seq, nil
}

func (p *seqParser) actor(id string) int {
	id = strings.TrimSpace(id)
	if i, ok := p.index[id]; ok {
		return i
	}
	p.index[id] = len(p.seq.Actors)
	p.seq.Actors = append(p.seq.Actors, Actor{ID: id, Label: label(id)})
	return p.index[id]
}

func (p *seqParser) add(it Item) { p.seq.Items = append(p.seq.Items, it) }

func (p *seqParser) line(line string, n int) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(word) {
	case "participant", "actor":
		m := seqActor.FindStringSubmatch(line)
		if m == nil {
			return fault(n, "write: participant ID as Label")
		}
		i := p.actor(m[1])
		if m[2] != "" {
			p.seq.Actors[i].Label = label(m[2])
		}
		return nil
	case "autonumber":
		p.number = 1
		if v, err := strconv.Atoi(rest); err == nil {
			p.number = v
		}
		return nil
	case "activate", "deactivate":
		kind := Activate
		if word == "deactivate" {
			kind = Deactivate
		}
		i, known := p.index[rest]
		if !known {
			return fault(n, "%s %s: no such participant", word, rest)
		}
		p.add(Item{Kind: kind, From: i, To: i})
		return nil
	case "note":
		return p.note(line, n)
	case "else", "and", "option", "end", "loop", "opt", "alt", "par", "critical", "break":
		return p.block(strings.ToLower(word), rest, n)
	}
	return p.message(line, n)
}

func (p *seqParser) note(line string, n int) error {
	m := seqNote.FindStringSubmatch(line)
	if m == nil {
		return fault(n, "write: Note over A,B: text (or left of A, right of A)")
	}
	ids := strings.Split(m[2], ",")
	if len(ids) > 2 || len(ids) == 2 && m[1] != "over" {
		return fault(n, "a note stands over at most two participants")
	}
	from := p.actor(ids[0])
	to := p.actor(ids[len(ids)-1])
	side, _, _ := strings.Cut(m[1], " ")
	p.add(Item{Kind: Note, From: min(from, to), To: max(from, to), Side: side, Text: label(m[3])})
	return nil
}

func (p *seqParser) block(word, rest string, n int) error {
	if _, starts := blockParts[word]; starts {
		if len(p.open) == maxDepth {
			return fault(n, "blocks are nested more than %d deep", maxDepth)
		}
		p.open = append(p.open, word)
		p.add(Item{Kind: BlockStart, Block: word, Text: label(rest)})
		return nil
	}
	if len(p.open) == 0 {
		return fault(n, "%q stands outside any block", word)
	}
	top := p.open[len(p.open)-1]
	if word == "end" {
		p.open = p.open[:len(p.open)-1]
		p.add(Item{Kind: BlockEnd})
		return nil
	}
	if blockParts[top] != word {
		return fault(n, "%q does not divide a %q block", word, top)
	}
	p.add(Item{Kind: BlockPart, Block: word, Text: label(rest)})
	return nil
}

func (p *seqParser) message(line string, n int) error {
	m := seqArrow.FindStringSubmatch(line)
	if m == nil {
		return fault(n, "%q is no message, note or block that is known", line)
	}
	it := Item{Kind: Message, From: p.actor(m[1]), To: p.actor(m[4]), Text: label(m[5]),
		Dotted: strings.HasPrefix(m[2], "--"), Start: m[3] == "+", Stop: m[3] == "-"}
	switch strings.TrimLeft(m[2], "-") {
	case ">>":
		it.Head = headArrow
	case ">":
		it.Head = headNone
	case "x":
		it.Head = headCross
	case ")":
		it.Head = headOpen
	}
	if p.number > 0 {
		it.Number = p.number
		p.number++
	}
	p.add(it)
	return nil
}

// caption is the item's text with its number before it.
func (it Item) caption() []string {
	if it.Number == 0 {
		return it.Text
	}
	out := append([]string(nil), it.Text...)
	out[0] = strings.TrimSpace(strconv.Itoa(it.Number) + ". " + out[0])
	return out
}
