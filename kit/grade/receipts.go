package grade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// DamageNote names the note under which a recorder puts what faults did to a node, as a map of the counts that are
// named below. A world that does not count leaves the note out.
func DamageNote(node kit.NodeName) string { return "damage:" + string(node) }

// The keys of a DamageNote's map, each with a whole number.
const (
	DamageRefused    = "refused"     // writes that a full disc did not take
	DamageLost       = "lost"        // changes of the disc that were lost with the power
	DamageSlowSyncs  = "slow_syncs"  // syncs that a slow disc made wait
	DamageClockReads = "clock_reads" // readings of a clock that was wrong
	DamageSlowed     = "slowed_us"   // microseconds by which its computing took longer
	DamageWaited     = "waited"      // frames, requests and timers that waited for the end of a pause
)

// TouchedNote names the note under which a recorder puts how many messages from one node to another a rule made late,
// doubled, reordered or lost.
func TouchedNote(from, to kit.NodeName) string { return fmt.Sprintf("touched:%s>%s", from, to) }

// counts reports whether the world counted what faults did: then a count that is missing is 0.
func counts(h *history.History, node kit.NodeName) bool {
	_, ok := h.Note(DamageNote(node))
	return ok
}

// damage reads one count of a node; ok is false when the world did not count.
func damage(h *history.History, node kit.NodeName, key string) (n int64, ok bool) {
	note, _ := h.Note(DamageNote(node))
	counts, ok := note.(term.Map)
	for _, p := range counts {
		if p.Key == term.Atom(key) {
			i, _ := p.Value.(term.Int)
			n = int64(i)
		}
	}
	return n, ok
}

// ordered gives the orders of some kinds about a node that were carried out.
func ordered(h *history.History, node kit.NodeName, what ...string) []history.Fault {
	var all []history.Fault
	for _, f := range h.Faults {
		if f.Err == "" && f.Node == node && f.Peer == "" && slices.Contains(what, f.What) {
			all = append(all, f)
		}
	}
	return all
}

// KillReceipt says whether a kill of a node bit, also one by a power cut: were requests to it in flight at that moment?
// Of several kills it is the first that bit, else the first.
func KillReceipt(h *history.History, node kit.NodeName) Receipt {
	r := Receipt{Fault: "kill " + string(node), Evidence: fmt.Sprintf("%s was never killed", node)}
	for i, f := range ordered(h, node, "kill", "poweroff") {
		n := opsDuring(h, []kit.NodeName{node}, history.Span{From: f.At, To: f.At})
		if n > 0 || i == 0 {
			r.Bit, r.Evidence = n > 0, fmt.Sprintf("%s killed at %s; %s on it in flight", node, ms(f.At), counted(int64(n), "operation"))
		}
		if r.Bit {
			break
		}
	}
	return r
}

// PauseReceipt says whether a pause of a node bit: were requests to it in flight meanwhile, and did anything wait for
// its end? Of several pauses it is the first that bit, else the first.
func PauseReceipt(h *history.History, node kit.NodeName) Receipt {
	r := Receipt{Fault: "pause " + string(node), Evidence: fmt.Sprintf("%s was never paused", node)}
	waited, counts := damage(h, node, DamageWaited)
	for i, span := range pauses(h, node) {
		n := opsDuring(h, []kit.NodeName{node}, span)
		bit := n > 0 && (!counts || waited > 0)
		if bit || i == 0 {
			r.Bit, r.Evidence = bit, fmt.Sprintf("%s paused at %s for %s; %s on it meanwhile", node, ms(span.From), lasted(h, span), counted(int64(n), "operation"))
			if counts {
				r.Evidence += fmt.Sprintf("; %s waited for the end of a pause", counted(waited, "message, request or timer"))
			}
		}
		if r.Bit {
			break
		}
	}
	return r
}

func pauses(h *history.History, node kit.NodeName) []history.Span {
	var spans []history.Span
	open := false
	for _, f := range ordered(h, node, "pause", "resume", "kill", "poweroff") {
		switch {
		case f.What == "pause" && !open:
			spans, open = append(spans, history.Span{From: f.At, To: history.Open}), true
		case f.What != "pause" && open:
			spans[len(spans)-1].To, open = f.At, false
		}
	}
	return spans
}

// DiskFullReceipt says whether a full disc bit: did it refuse a write?
func DiskFullReceipt(h *history.History, node kit.NodeName) Receipt {
	return damageReceipt(h, node, "full disc of", DamageRefused, "write refused for want of room")
}

// LostWritesReceipt says whether a power cut bit: were changes lost that had not been synced?
func LostWritesReceipt(h *history.History, node kit.NodeName) Receipt {
	return damageReceipt(h, node, "lost writes of", DamageLost, "change of the disc lost that had not been synced")
}

// SlowDiskReceipt says whether a slow disc bit: did a sync wait for it?
func SlowDiskReceipt(h *history.History, node kit.NodeName) Receipt {
	return damageReceipt(h, node, "slow disc of", DamageSlowSyncs, "sync slowed")
}

// ClockReceipt says whether a wrong clock bit: did the node look at it?
func ClockReceipt(h *history.History, node kit.NodeName) Receipt {
	return damageReceipt(h, node, "wrong clock of", DamageClockReads, "reading of a clock that was wrong")
}

// PaceReceipt says whether it bit that a node computed more slowly: by how much did it come later?
func PaceReceipt(h *history.History, node kit.NodeName) Receipt {
	r := damageReceipt(h, node, "slow", DamageSlowed, "")
	if us, ok := damage(h, node, DamageSlowed); ok {
		r.Evidence = fmt.Sprintf("its computing took %v longer", time.Duration(us)*time.Microsecond)
	}
	return r
}

func damageReceipt(h *history.History, node kit.NodeName, fault, key, what string) Receipt {
	n, ok := damage(h, node, key)
	r := Receipt{Fault: fault + " " + string(node), Bit: n > 0, Evidence: counted(n, what)}
	if !ok {
		r.Evidence = "nothing counted what it did"
	}
	return r
}

// SlowReceipt says whether a rule of a link that delays, loses, doubles or reorders bit, in either direction.
func SlowReceipt(h *history.History, a, b kit.NodeName) Receipt {
	r := Receipt{Fault: fmt.Sprintf("slow %s - %s", a, b), Evidence: "nothing counted what it did"}
	total, ok := touched(h, a, b)
	if ok {
		r.Bit, r.Evidence = total > 0, counted(total, "message")+" late, lost, doubled or reordered"
	}
	return r
}

func touched(h *history.History, a, b kit.NodeName) (total int64, ok bool) {
	for _, name := range []string{TouchedNote(a, b), TouchedNote(b, a)} {
		if v, had := h.Note(name); had {
			n, _ := v.(term.Int)
			total, ok = total+int64(n), true
		}
	}
	return total, ok || counts(h, a)
}

// FaultReceipts gives a receipt for each kind of fault that was ordered while the lab's clients worked, in the order of their first
// times. A kind bit when it bit once: of a plan that was drawn not every single fault needs to.
func FaultReceipts(h *history.History) []Receipt {
	var all []Receipt
	times := map[string]int{}
	add := func(kind string, r Receipt) {
		times[kind]++
		i := slices.IndexFunc(all, func(had Receipt) bool { return had.Fault == kind })
		switch {
		case i < 0:
			r.Fault = kind
			all = append(all, r)
		case r.Bit && !all[i].Bit:
			r.Fault = kind
			all[i] = r
		}
	}
	for _, f := range h.During(history.Work).Faults {
		if f.Err != "" || f.Mends() {
			continue
		}
		for kind, r := range receiptsOf(h, f) {
			add(kind, r)
		}
	}
	for i, r := range all {
		if n := times[r.Fault]; n > 1 {
			all[i].Evidence = fmt.Sprintf("ordered %d times; %s", n, r.Evidence)
		}
	}
	return all
}

// receiptsOf yields the kinds that a fault belongs to, each with the receipt.
func receiptsOf(h *history.History, f history.Fault) func(yield func(string, Receipt) bool) {
	return func(yield func(string, Receipt) bool) {
		switch f.What {
		case "cut":
			yield("cut", linkReceipt(h, f))
		case "slow":
			yield("slow link", SlowReceipt(h, f.Node, f.Peer))
		case "kill":
			yield("kill", KillReceipt(h, f.Node))
		case "poweroff":
			_ = yield("kill", KillReceipt(h, f.Node)) && yield("lost writes", LostWritesReceipt(h, f.Node))
		case "pause":
			yield("pause", PauseReceipt(h, f.Node))
		case "clock":
			yield("wrong clock", ClockReceipt(h, f.Node))
		case "pace":
			yield("slow node", PaceReceipt(h, f.Node))
		case "disc":
			for _, part := range []struct {
				word, kind string
				receipt    func(*history.History, kit.NodeName) Receipt
			}{{"full", "full disc", DiskFullReceipt}, {"room", "full disc", DiskFullReceipt}, {"slower", "slow disc", SlowDiskReceipt},
				{"not synced", "lost writes", LostWritesReceipt}} {
				if strings.Contains(f.Detail, part.word) && !yield(part.kind, part.receipt(h, f.Node)) {
					return
				}
			}
		}
	}
}

// linkReceipt says whether a cut of one direction held or lost messages.
func linkReceipt(h *history.History, f history.Fault) Receipt {
	v, ok := h.Note(TrafficNote(f.Node, f.Peer))
	if !ok && !counts(h, f.Node) {
		n := opsDuring(h, []kit.NodeName{f.Node, f.Peer}, history.Span{From: f.At, To: history.Open})
		return Receipt{Bit: n > 0, Evidence: fmt.Sprintf("%s → %s cut at %s; %s on the two since", f.Node, f.Peer, ms(f.At), counted(int64(n), "operation"))}
	}
	n, _ := v.(term.Int)
	return Receipt{Bit: n > 0, Evidence: fmt.Sprintf("%s → %s cut at %s; %s held or lost", f.Node, f.Peer, ms(f.At), counted(int64(n), "message"))}
}

// counted is "1 operation" or "2 operations": the first word of what is counted gets the plural.
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	noun, rest, _ := strings.Cut(what, " ")
	switch {
	case what == "message, request or timer":
		return fmt.Sprintf("%d messages, requests or timers", n)
	case rest != "":
		rest = " " + rest
	}
	return fmt.Sprintf("%d %ss%s", n, noun, rest)
}
