package diagram

import (
	"math"
	"strings"
)

func hypot(a, b float64) float64 { return math.Hypot(a, b) }

// canvas is a grid of terminal cells that grows as it is drawn on. A cell right of a wide letter holds 0.
type canvas struct{ rows [][]rune }

func (c *canvas) put(x, y int, r rune) {
	if x < 0 || y < 0 {
		return
	}
	for len(c.rows) <= y {
		c.rows = append(c.rows, nil)
	}
	row := c.rows[y]
	for len(row) <= x {
		row = append(row, ' ')
	}
	row[x] = r
	c.rows[y] = row
}

func (c *canvas) at(x, y int) rune {
	if y < 0 || y >= len(c.rows) || x < 0 || x >= len(c.rows[y]) {
		return ' '
	}
	return c.rows[y][x]
}

func (c *canvas) text(x, y int, s string) {
	for _, r := range s {
		n := cells(r)
		if n == 0 {
			continue
		}
		c.put(x, y, r)
		if n == 2 {
			c.put(x+1, y, 0)
		}
		x += n
	}
}

func (c *canvas) hline(x1, x2, y int, r rune) {
	for x := x1; x <= x2; x++ {
		c.put(x, y, r)
	}
}

// box draws a frame of w by h cells with its upper left corner at (x, y).
func (c *canvas) box(x, y, w, h int) {
	c.hline(x+1, x+w-2, y, '─')
	c.hline(x+1, x+w-2, y+h-1, '─')
	for i := y + 1; i < y+h-1; i++ {
		c.put(x, i, '│')
		c.put(x+w-1, i, '│')
	}
	c.put(x, y, '┌')
	c.put(x+w-1, y, '┐')
	c.put(x, y+h-1, '└')
	c.put(x+w-1, y+h-1, '┘')
}

func (c *canvas) String() string {
	var b strings.Builder
	for _, row := range c.rows {
		line := strings.Map(func(r rune) rune {
			if r == 0 {
				return -1
			}
			return r
		}, string(row))
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
