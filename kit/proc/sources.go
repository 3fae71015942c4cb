package proc

import "embed"

// Sources are this package's Go files. A student's workspace gets a copy of them (kit/source); a go:embed
// reaches only its own folder, so each package that a student's program is built from carries its own.
//
//go:embed *.go
var Sources embed.FS
