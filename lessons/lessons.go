// Package lessons holds the course's texts: course.yaml lists the parts, each part is a folder of Markdown files,
// and output/ has what recorded runs printed. Package lesson says what a file may hold.
package lessons

import "embed"

// FS is the folder of lessons.
//
//go:embed course.yaml */*.md output
var FS embed.FS
