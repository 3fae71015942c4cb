// Package lab is what a lab is made of and how it is graded: its manifest, its workspace, its runs on a real or a
// simulated cluster, its hints, and the proof that the lab itself is sound.
//
// # Writing a lab
//
// A lab is a folder labs/<slug>/ and an answer solutions/<slug>/:
//
//	labs/<slug>/README.md      front matter (title, tasks, points, hints: type Manifest), then the brief
//	labs/<slug>/lab.go         var Lab = lab.Definition{...}: data, set-up, workload, checks
//	labs/<slug>/starter/       what a student begins with: run.star, answers.yaml, or Go files of one package main
//	labs/<slug>/mutants/<name>/verdict.yaml   a wrong answer and the verdict it must get (type Mutant)
//	solutions/<slug>/          the reference answer, the same file names as the starter; run.star for answers.yaml
//
// and a line in labs/labs.go. "netsplit new lab NAME" in a checkout writes a small one, sound as it stands, to begin with. The
// front matter:
//
//	---
//	title: A total that holds
//	kind: script
//	nodes: 2
//	minutes: 15
//	lesson: store/transactions
//	about: Move money and never show a wrong total
//	tasks:
//	  - name: move
//	    title: Move 10 from one account to the other
//	    points: 60
//	    proves: A transfer is two writes that belong together
//	    hints:
//	      - Which function makes several writes one?
//	  - name: look
//	    title: Read both accounts and see the right total
//	    points: 40
//	    after: [move]
//	---
//	The brief, in Markdown.
//
// The code draws its random data from the seed alone and puts everything it does on record:
//
//	var Lab = lab.Definition{
//		Slug:      "steady-total",
//		Scenarios: []lab.Scenario{{New: newPlan}},
//	}
//
//	func newPlan(seed uint64) lab.Plan {
//		r := rand.New(rand.NewPCG(seed, 0))
//		d := data{from: term.Bin("ann"), to: term.Bin("ben"), amount: 100 + r.Int64N(900)}
//		return lab.Plan{
//			Data:    map[string]term.Term{"accounts": term.L(d.from, d.to)}, // lab.data in run.star
//			Setup:   d.setup,   // tables and rows
//			Observe: d.observe, // the final reads, recorded like all others
//			Checks: []lab.Check{
//				{Task: "move", Judge: d.moved},
//				{Task: "look", Judge: d.total().Conserved},
//			},
//		}
//	}
//
//	func (d data) setup(ctx context.Context, w *lab.World) error {
//		opts := term.MakeMap(term.Pair{Key: term.Atom("ram_copies"), Value: term.Atoms("a", "b")})
//		return w.Do(ctx, "setup", "a", "create_table", term.Atom("account"), opts).Err()
//	}
//
// A check is a pure function over the history (grade.Judge). It sees every request of the script or of the lab's
// own clients: h.During(history.Work).Accesses() for the store operations, h.Events() for what nodes told,
// h.Messages() for what processes were sent, h.Faults for what was cut or killed, h.Note(name) for what the script
// gave to answer(name, value). Package grade has the common ones (Total, Replicas, InOrder, Genuine, ...). A check passes, fails with a reason, what was expected and
// what was seen, or is inconclusive; a claim about faults carries receipts.
//
// A mutant is the solution with a few edits:
//
//	about: moves the money with two dirty writes
//	tasks: {look: fail}
//	edits:
//	  - file: run.star
//	    old: a.db.transaction(move)
//	    new: a.db.async_dirty(move)
//
// "netsplit check <slug>" proves that the starter fails, the solution passes and every mutant gets its verdict.
// testdata/labs holds a small lab of each kind that the tests of this package use.
//
// # Answer labs
//
// A lab of kind answer asks about a cluster that is set up otherwise for every student. "netsplit lab start" draws a seed
// and keeps it in the workspace (Marker.Seed); "netsplit lab up" there runs the lab's Setup with it, so whatever
// Setup plants must follow from the seed: names, counts, sizes, who is where, but not pids or ports. Each task names
// its questions (answers: [busiest, busiest_node]) and the starter is an answers.yaml that asks them:
//
//	# Which process has most messages waiting?
//	busiest:
//	busiest_node:
//
// To grade, a fresh cluster is set up with the workspace's seed, Observe reads the facts off it through the doors, and the
// checks (grade.Answered) compare them with what the student wrote. A wrong answer is told with where to look,
// never with the right one; still, each grade says which answers are right, so whoever grades often enough can guess what
// has few possible values. "netsplit lab list --json" says how often a lab was graded.
//
// A student hands in answers.yaml, by hand or filled in by "netsplit lab export" from answer(name, value) in the shell; or
// instead a run.star that finds the answers, which is then run on the fresh cluster after the facts were read, so that it
// cannot make them up. A folder with both is refused, unless nothing is answered in the file. The reference answer
// is such a run.star, for it must pass on any seed, and mutants are edits of it.
//
// The seed in the workspace can be edited, and this program's source tells what a seed plants. A workspace alone
// is therefore no proof that a student looked at a cluster of the student's own. An instructor who needs that gives
// out seeds (lab start --seed N) and grades with them (grade --seed N): then the answers must at least be those of that
// seed. Answers are graded on one seed; --seeds is refused for them.
//
// # Shorter runs
//
// When a run of a code lab fails, the grader looks for a part of it that fails the same way, and explains the failure with
// that: the same seed with fewer faults, requests, clients and nodes. What is left out is not sent and not recorded; its client is
// told that it was refused, or that the answer was lost if it was in the whole run, and this takes as long as it took there. So
// Drive must bear to be refused, as it must anyhow, and give up in the end; and it should pass time with Sleep, so that clients keep
// their distance. Setup and Observe are done whole. A run fails the same way when the same task fails and the finding's Why is the same but for
// names, numbers and quoted text: keep Why of one kind of mistake in one form of words. A shorter run in which the solution
// fails the same way does not count, so a check that takes what was not asked for what was not answered does no harm; it only
// makes the runs longer that are found. Requests that a client makes without a pause, such as one look at all nodes, are first tried
// together.
//
// # Trust
//
// A verdict is made here, from what the grader recorded. A script runs in a child process with a memory limit and
// speaks only to the recorder; a program runs inside the simulator, in a WebAssembly sandbox with no file, no
// network and no clock of the machine. Student bytes are data.
package lab
