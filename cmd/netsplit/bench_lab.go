package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/kit/term"
	"netsplit/site"
)

// labCases lists what "bench lab" measures. done ends the cluster that some cases share.
func labCases() (cases []benchCase, done func(), err error) {
	shared := &benchCluster{}
	grader := &benchGrader{}
	course, err := loadCourse()
	if err != nil {
		return nil, nil, err
	}
	pages, err := site.New(site.Config{Course: course})
	if err != nil {
		return nil, nil, err
	}
	cases = []benchCase{
		{"cluster of 3 with a replicated table, ready", "ms", 7, clusterReady},
		{"cut, loud: both sides say nodedown", "ms", 7, func(ctx context.Context) (float64, error) { return shared.noticed(ctx, false) }},
		{"cut, silent: both sides say nodedown", "ms", 7, func(ctx context.Context) (float64, error) { return shared.noticed(ctx, true) }},
		{"heal: both see each other again", "ms", 7, shared.healed},
		{"memory of a node", "MB", 3, shared.memory},
		{"course page", "ms", 50, func(context.Context) (float64, error) { return page(pages) }},
		{"grade of dirty-reads", "s", 3, func(ctx context.Context) (float64, error) { return grader.grade(ctx, "dirty-reads", 1) }},
		{"grade of master-recovery", "s", 3, func(ctx context.Context) (float64, error) { return grader.grade(ctx, "master-recovery", 1) }},
		{"grade of transaction-history, 50 seeds", "s", 3, func(ctx context.Context) (float64, error) { return grader.grade(ctx, "transaction-history", 50) }},
	}
	return cases, func() { shared.close(); grader.close() }, nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clusterReady starts three nodes and a table with a copy on each, until all three have it loaded.
func clusterReady(ctx context.Context) (float64, error) {
	begun := time.Now()
	c, err := cluster.Up(ctx, cluster.Spec{Lab: "bench", Temporary: true, Who: "bench", Setup: benchTable})
	if err != nil {
		return 0, err
	}
	took := time.Since(begun)
	return millis(took), c.Close()
}

func benchTable(ctx context.Context, c *cluster.Cluster) error {
	w := lab.Record(c)
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	var nodes term.List
	for _, n := range c.Nodes() {
		nodes = append(nodes, term.Atom(n))
	}
	opts := term.MakeMap(term.Pair{Key: term.Atom("ram_copies"), Value: nodes})
	if err := w.Do(ctx, "bench", "a", "create_table", term.Atom("t"), opts).Err(); err != nil {
		return err
	}
	for _, n := range c.Nodes() {
		if err := w.Do(ctx, "bench", n, "wait_for_tables", lab.List(term.Atom("t")), term.Int(5000)).Err(); err != nil {
			return err
		}
	}
	return nil
}

// benchCluster is started by the first case that needs it.
type benchCluster struct{ c *cluster.Cluster }

func (b *benchCluster) up(ctx context.Context) (*cluster.Cluster, error) {
	if b.c != nil {
		return b.c, nil
	}
	c, err := cluster.Up(ctx, cluster.Spec{Lab: "bench", Temporary: true, Who: "bench", Setup: benchTable})
	b.c = c
	return c, err
}

func (b *benchCluster) close() {
	if b.c != nil {
		_ = b.c.Close() // its nodes end with this process in any case
	}
}

// noticed cuts a and b and waits until neither lists the other; then the link is healed again.
func (b *benchCluster) noticed(ctx context.Context, silent bool) (float64, error) {
	c, err := b.up(ctx)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := c.Cut("a", "b", silent, false); err != nil {
		return 0, err
	}
	if err := awaitLink(ctx, c, false); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	if err := c.Heal("a", "b"); err != nil {
		return 0, err
	}
	return millis(took), awaitLink(ctx, c, true)
}

func (b *benchCluster) healed(ctx context.Context) (float64, error) {
	c, err := b.up(ctx)
	if err != nil {
		return 0, err
	}
	if err := c.Cut("a", "b", false, false); err != nil {
		return 0, err
	}
	if err := awaitLink(ctx, c, false); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := c.Heal("a", "b"); err != nil {
		return 0, err
	}
	if err := awaitLink(ctx, c, true); err != nil {
		return 0, err
	}
	return millis(time.Since(begun)), nil
}

// awaitLink asks a and b until both list the other, or neither does.
func awaitLink(ctx context.Context, c *cluster.Cluster, up bool) error {
	const limit = 10 * time.Second
	for end := time.Now().Add(limit); time.Now().Before(end); {
		a, err := lists(ctx, c, "a", "b")
		if err != nil {
			return err
		}
		b, err := lists(ctx, c, "b", "a")
		if err != nil {
			return err
		}
		if a == up && b == up {
			return nil
		}
		if err := c.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return &kit.Error{Op: "watch link", What: "a-b", Kind: kit.Unavailable, Err: fmt.Errorf("no change within %v", limit)}
}

func lists(ctx context.Context, c *cluster.Cluster, asked, about kit.NodeName) (bool, error) {
	out := c.Call(ctx, "bench", asked, door.Request{Client: "bench", Verb: "nodes"})
	t, err := out.Term()
	if err != nil {
		return false, err
	}
	list, _ := t.(term.List)
	return slices.ContainsFunc(list, func(n term.Term) bool { return term.Equal(n, term.Atom(about)) }), nil
}

// memory gives the resident memory of node a, in MB.
func (b *benchCluster) memory(ctx context.Context) (float64, error) {
	c, err := b.up(ctx)
	if err != nil {
		return 0, err
	}
	t, err := c.Call(ctx, "bench", "a", door.Request{Client: "bench", Verb: "status"}).Term()
	if err != nil {
		return 0, err
	}
	m, _ := t.(term.Map)
	for _, p := range m {
		if n, ok := p.Value.(term.Int); ok && term.Equal(p.Key, term.Atom("memory")) {
			return float64(n) / 1e6, nil
		}
	}
	return 0, &kit.Error{Op: "read status", What: "a", Kind: kit.Broken, Err: fmt.Errorf("it says nothing of memory")}
}

// page asks the course's server for a lesson, without a socket.
func page(s *site.Site) (float64, error) {
	paths := s.Paths()
	at := "/" + paths[len(paths)/2]
	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1"+at, nil)
	if err != nil {
		return 0, err
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	begun := time.Now()
	site.Guard(s.Handler()).ServeHTTP(w, r)
	took := time.Since(begun)
	if w.status != http.StatusOK || w.bytes == 0 {
		return 0, &kit.Error{Op: "get page", What: at, Kind: kit.Broken, Err: fmt.Errorf("status %d, %d bytes", w.status, w.bytes)}
	}
	return millis(took), nil
}

// answer is a response that is only counted.
type answer struct {
	header http.Header
	status int
	bytes  int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { a.bytes += len(b); return len(b), nil }

// benchGrader grades reference answers. The sample that does not count is the first build.
type benchGrader struct{ system lab.System }

func (b *benchGrader) close() { _ = b.system.Close() } // its engine ends with this process in any case

// grade gives the seconds that the grade of a lab's solution takes.
func (b *benchGrader) grade(ctx context.Context, slug string, seeds int) (float64, error) {
	c, err := catalog()
	if err != nil {
		return 0, err
	}
	l, err := c.Find(slug)
	if err != nil {
		return 0, err
	}
	sub, err := l.Reference()
	if err != nil {
		return 0, err
	}
	g := &lab.Grader{Env: b.system.Env(), Version: lab.Version(), TestJobs: testJobs()}
	begun := time.Now()
	r, err := g.Grade(ctx, l, sub, lab.Options{Seeds: seeds})
	if err != nil {
		return 0, err
	}
	if r.Verdict != grade.Pass {
		return 0, &kit.Error{Op: "grade solution", What: slug, Kind: kit.Broken, Err: fmt.Errorf("%s with seed %d", r.Verdict, r.Seed)}
	}
	return time.Since(begun).Seconds(), nil
}
