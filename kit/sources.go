package kit

import "embed"

// Sources are this package's Go files, for students' workspaces (kit/source).
//
//go:embed kit.go near.go sources.go
var Sources embed.FS
