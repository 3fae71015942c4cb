package history

import (
	"math/big"
	"slices"

	"netsplit/kit/term"
)

// Register is a value that is read and overwritten. With a Part for each key it is a map: a table.
//
//	read()             → the value
//	write(v)           → anything
//	swap(v)            → the value before
//	cas(old, new)      → true, and the value is new, if it was old; else false
//	delete()           → anything; the value is start again
func Register(start term.Term) Object {
	return Object{
		Start: func(string) term.Term { return start },
		Pure:  func(a Act) bool { return a.Name == "read" },
		Helps: helpRegister(start),
		Apply: func(state term.Term, a Act) (next, answer term.Term) {
			switch {
			case a.Name == "read":
				return state, state
			case a.Name == "write" && len(a.Args) == 1:
				return a.Args[0], nil
			case a.Name == "swap" && len(a.Args) == 1:
				return a.Args[0], state
			case a.Name == "cas" && len(a.Args) == 2 && term.Equal(state, a.Args[0]):
				return a.Args[1], term.True
			case a.Name == "cas" && len(a.Args) == 2:
				return state, term.False
			case a.Name == "delete":
				return start, nil
			}
			return nil, nil
		},
	}
}

// helpRegister: a value that nobody was told of explains nothing, unless a compare-and-set failed because of it. For that any
// value will do that is another one, and of two that differ one is.
func helpRegister(start term.Term) func(told, may []Act, often bool) func(Act) bool {
	return func(told, may []Act, often bool) func(Act) bool {
		seen := map[any]bool{}
		all := false
		for _, a := range told {
			switch {
			case a.Name == "cas" && len(a.Args) > 0:
				seen[term.Key(a.Args[0])] = true
				all = all || !term.Equal(a.Answer, term.True)
			case a.Answer != nil:
				seen[term.Key(a.Answer)] = true
			}
		}
		makes := func(a Act) term.Term {
			if a.Name == "delete" {
				return start
			}
			if len(a.Args) == 0 {
				return nil
			}
			return a.Args[len(a.Args)-1]
		}
		others := map[any]bool{}
		for _, a := range may {
			if a.Name == "cas" && len(a.Args) > 0 {
				seen[term.Key(a.Args[0])] = true
			} else if v := makes(a); v != nil && len(others) < 2 {
				others[term.Key(v)] = true
			}
		}
		return func(a Act) bool {
			v := makes(a)
			return all && !often || v != nil && (seen[term.Key(v)] || all && (a.Name == "cas" || others[term.Key(v)]))
		}
	}
}

// Number is a whole number that is raised and read; Counter in package grade is quicker for what it can judge.
//
//	read()       → the number
//	add(n)       → anything
//	add_get(n)   → the number after it
//	get_add(n)   → the number before it
func Number(start int64) Object {
	return Object{
		Start: func(string) term.Term { return term.Int(start) },
		Pure:  func(a Act) bool { return a.Name == "read" },
		Apply: func(state term.Term, a Act) (next, answer term.Term) {
			if a.Name == "read" {
				return state, state
			}
			if len(a.Args) != 1 {
				return nil, nil
			}
			n, ok := term.BigInt(state)
			by, okBy := term.BigInt(a.Args[0])
			if !ok || !okBy {
				return nil, nil
			}
			next = term.Integer(new(big.Int).Add(n, by))
			switch a.Name {
			case "add":
				return next, nil
			case "add_get":
				return next, next
			case "get_add":
				return next, state
			}
			return nil, nil
		},
		Loose: func(_ string, may []Act) (term.Term, func(term.Term, Act) term.Term) { return looseNumber(start, may) },
	}
}

// looseNumber keeps two numbers: what the answered acts have led to, and what the others have added to it at least.
func looseNumber(start int64, may []Act) (term.Term, func(term.Term, Act) term.Term) {
	least, most := new(big.Int), new(big.Int)
	for _, a := range may {
		if len(a.Args) == 1 {
			switch by, _ := term.BigInt(a.Args[0]); {
			case by == nil:
			case by.Sign() < 0:
				least.Add(least, by)
			default:
				most.Add(most, by)
			}
		}
	}
	step := func(state term.Term, a Act) term.Term {
		s, _ := state.(term.Tuple)
		sum, _ := term.BigInt(s[0])
		low, _ := term.BigInt(s[1])
		high := most // whatever they have added since
		if least.Sign() < 0 {
			low = least
		}
		after := sum
		if a.Name != "read" {
			by, ok := new(big.Int), false
			if len(a.Args) == 1 {
				by, ok = term.BigInt(a.Args[0])
			}
			if !ok {
				return nil
			}
			after = new(big.Int).Add(sum, by)
		}
		if a.Answer != nil && a.Name != "add" {
			told, ok := term.BigInt(a.Answer)
			if !ok {
				return nil
			}
			stood := sum
			if a.Name == "add_get" {
				stood = after
			}
			added := new(big.Int).Sub(told, stood)
			if added.Cmp(low) < 0 || added.Cmp(high) > 0 {
				return nil
			}
			low = added
		}
		return term.Tuple{term.Integer(after), term.Integer(low)}
	}
	return term.Tuple{term.Int(start), term.Integer(least)}, step
}

// Set holds terms, each once.
//
//	add(x)        → anything
//	remove(x)     → anything
//	contains(x)   → true or false
//	members()     → the list of all, in the order of terms
func Set() Object {
	return Object{
		Start: func(string) term.Term { return term.List{} },
		Pure:  func(a Act) bool { return a.Name == "contains" || a.Name == "members" },
		Helps: helpSet,
		Apply: func(state term.Term, a Act) (next, answer term.Term) {
			all, _ := state.(term.List)
			if a.Name == "members" {
				return state, state
			}
			if len(a.Args) != 1 {
				return nil, nil
			}
			at, has := slices.BinarySearchFunc(all, a.Args[0], term.Compare)
			switch {
			case a.Name == "contains":
				return state, term.Bool(has)
			case a.Name == "add" && !has:
				return slices.Concat(all[:at], term.List{a.Args[0]}, all[at:]), nil
			case a.Name == "remove" && has:
				return slices.Concat(all[:at], all[at+1:]), nil
			case a.Name == "add", a.Name == "remove":
				return state, nil
			}
			return nil, nil
		},
	}
}

// helpSet: whether a term is in it matters when somebody was told of it.
func helpSet(told, _ []Act, _ bool) func(Act) bool {
	seen, all := map[any]bool{}, false
	for _, a := range told {
		all = all || a.Name == "members"
		if a.Name == "contains" && len(a.Args) > 0 {
			seen[term.Key(a.Args[0])] = true
		}
	}
	return func(a Act) bool { return all || len(a.Args) > 0 && seen[term.Key(a.Args[0])] }
}

// Queue gives back what was put in, the oldest first.
//
//	push(x)   → anything
//	pop()     → the oldest, or the atom empty
func Queue() Object {
	return Object{
		Start: func(string) term.Term { return term.List{} },
		Helps: helpQueue,
		Apply: func(state term.Term, a Act) (next, answer term.Term) {
			all, _ := state.(term.List)
			switch {
			case a.Name == "push" && len(a.Args) == 1:
				return slices.Concat(all, term.List{a.Args[0]}), nil
			case a.Name == "pop" && len(all) == 0:
				return state, term.Atom("empty")
			case a.Name == "pop":
				return all[1:], all[0]
			}
			return nil, nil
		},
	}
}

// helpQueue: what nobody has got would only be in the way, unless it is not known what somebody got.
func helpQueue(told, _ []Act, _ bool) func(Act) bool {
	got, all := map[any]bool{}, false
	for _, a := range told {
		switch {
		case a.Name == "pop" && a.Answer != nil:
			got[term.Key(a.Answer)] = true
		case a.Name == "pop":
			all = true
		}
	}
	return func(a Act) bool { return all || a.Name != "push" || len(a.Args) > 0 && got[term.Key(a.Args[0])] }
}

// Lock is held by one client at most.
//
//	acquire()   → true, and its client holds it, if nobody did; else false
//	release()   → true if its client held it, and nobody holds it now; else false
func Lock() Object {
	free := term.Tuple{}
	return Object{
		Start: func(string) term.Term { return free },
		Apply: func(state term.Term, a Act) (next, answer term.Term) {
			holder, _ := state.(term.Tuple)
			me := term.Tuple{term.Bin(a.Client)}
			switch {
			case a.Name == "acquire" && len(holder) == 0:
				return me, term.True
			case a.Name == "release" && term.Equal(holder, me):
				return free, term.True
			case a.Name == "acquire", a.Name == "release":
				return state, term.False
			}
			return nil, nil
		},
	}
}
