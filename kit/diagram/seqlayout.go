package diagram

// spacing is what a medium (pixels or terminal cells) needs between things.
type spacing struct {
	measure func(string) int
	boxPad  int // inside an actor's box, both sides together
	gap     int // least distance between two actors' boxes
	label   int // blank around a message's label, both sides together
	self    int // width of a self message's loop
	margin  int // left and right of everything, for notes and block frames
}

// centers places the life lines so that boxes, labels and notes have room; it gives the x of each life line
// and the whole width. Text of items must be wrapped already.
func (s *Sequence) centers(sp spacing) ([]int, int) {
	n := len(s.Actors)
	half := make([]int, n)
	for i, a := range s.Actors {
		half[i] = (widest(a.Label, sp.measure) + sp.boxPad + 1) / 2
	}
	dist := make([]int, n) // dist[i]: from life line i to i+1; the last one: room right of it
	left := half[0]
	for i := range n - 1 {
		dist[i] = half[i] + half[i+1] + sp.gap
	}
	dist[n-1] = half[n-1]
	need := func(from, to, w int) {
		have := 0
		for i := from; i < to; i++ {
			have += dist[i]
		}
		if have < w {
			dist[to-1] += w - have
		}
	}
	for _, it := range s.Items {
		w := widest(it.caption(), sp.measure) + sp.label
		switch {
		case it.Kind == Message && it.From == it.To, it.Kind == Note && it.Side == "right":
			dist[it.From] = max(dist[it.From], w+sp.self)
		case it.Kind == Message:
			need(min(it.From, it.To), max(it.From, it.To), w)
		case it.Kind == Note && it.Side == "left" && it.From == 0:
			left = max(left, w+sp.self)
		case it.Kind == Note && it.Side == "left":
			need(it.From-1, it.From, w+sp.self)
		case it.Kind == Note && it.From == it.To:
			half := (w + 1) / 2
			if it.From == 0 {
				left = max(left, half)
			} else {
				dist[it.From-1] = max(dist[it.From-1], half+sp.gap)
			}
			dist[it.From] = max(dist[it.From], half)
		case it.Kind == Note:
			need(it.From, it.To, w-sp.label)
		}
	}
	xs := make([]int, n)
	x := sp.margin + left
	for i := range n {
		xs[i] = x
		x += dist[i]
	}
	return xs, x + sp.margin
}

// wrapped is the diagram with every label broken at width columns.
func (s *Sequence) wrapped(width int) *Sequence {
	out := &Sequence{Actors: append([]Actor(nil), s.Actors...), Items: append([]Item(nil), s.Items...)}
	for i := range out.Actors {
		out.Actors[i].Label = wrap(out.Actors[i].Label, max(width/2, 10))
	}
	for i := range out.Items {
		out.Items[i].Text = wrap(out.Items[i].Text, width)
	}
	return out
}

// depth is how deep blocks nest.
func (s *Sequence) depth() int {
	d, most := 0, 0
	for _, it := range s.Items {
		switch it.Kind {
		case BlockStart:
			d++
			most = max(most, d)
		case BlockEnd:
			d--
		}
	}
	return most
}

func (s *Sequence) actorLines() int {
	n := 1
	for _, a := range s.Actors {
		n = max(n, len(a.Label))
	}
	return n
}
