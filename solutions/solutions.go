// Package solutions carries the reference answers of the labs, in a folder each.
package solutions

import "embed"

// FS is this folder.
//
//go:embed */*
var FS embed.FS
