// Package diagram draws sequence diagrams, flow charts and space-time diagrams of recorded runs, each as SVG
// (classes only, no inline style, so a strict content security policy holds) and as text for a terminal.
package diagram

// Diagram is a parsed or built picture.
type Diagram interface {
	// SVG gives a self-contained <svg> element with title and description for screen readers. id makes its
	// inner ids unique on a page.
	SVG(id, title string) string
	// Text draws with box characters, at most width columns where it can.
	Text(width int) string
}
