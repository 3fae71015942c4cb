package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
)

// playground is a cluster without a task, for "lab up"; "playground-2" and so on are further ones.
const playground = "playground"

// maxCompilerText bounds what of the compiler's output an error shows.
const maxCompilerText = 8 << 10

// labSpec turns the argument of "lab up" into the cluster to start: the name of a lab, a workspace's folder, or the
// playground. A seed of 0 is the workspace's, or one that is drawn.
func labSpec(ctx context.Context, errOut io.Writer, arg string, nodes int, nodesGiven bool, seed uint64) (cluster.Spec, error) {
	if nodesGiven && (nodes < 1 || nodes > cluster.MaxNodes) {
		return cluster.Spec{}, &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%d nodes cannot be started", nodes),
			Hint: fmt.Sprintf("--nodes takes 1 to %d", cluster.MaxNodes)}
	}
	if arg == playground || strings.HasPrefix(arg, playground+"-") {
		return cluster.Spec{Lab: arg, Nodes: cluster.Letters(nodes), StartStore: false}, nil
	}
	c, err := catalog()
	if err != nil {
		return cluster.Spec{}, err
	}
	l, dir, err := labAndFolder(c, arg)
	if err != nil {
		return cluster.Spec{}, err
	}
	if l.Manifest.Kind == lab.Answer && seed == 0 {
		if seed, err = answerSeed(errOut, l, dir); err != nil {
			return cluster.Spec{}, err
		}
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	spec := cluster.Spec{Lab: l.Slug, Nodes: l.NodeNames(), Dir: dir, Who: "lab", Setup: func(ctx context.Context, c *cluster.Cluster) error {
		return prepare(ctx, c, l, seed)
	}}
	if nodesGiven {
		if least := len(spec.Nodes); nodes < least {
			return cluster.Spec{}, &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("lab %s needs at least %d nodes", l.Slug, least)}
		}
		spec.Nodes = cluster.Letters(nodes)
	}
	if l.Manifest.Kind == lab.Code {
		slow := time.AfterFunc(time.Second, func() {
			fmt.Fprintln(errOut, "compiling your program; the first time takes a while")
		})
		defer slow.Stop()
		spec.Program, err = compileProgram(ctx, l, dir)
	}
	return spec, err
}

// labAndFolder finds the lab and the student's folder for it; a script lab can be started without one.
func labAndFolder(c lab.Catalog, arg string) (*lab.Lab, string, error) {
	if strings.ContainsAny(arg, `/\`) || arg == "." || arg == ".." {
		dir, m, err := lab.FindWorkspace(arg)
		t, err := labTarget(c, dir, m, err)
		return t.lab, t.dir, err
	}
	l, err := c.Find(arg)
	if err != nil {
		if dir, m, wsErr := lab.FindWorkspace(arg); wsErr == nil && dir != "" { // a folder's name, without a slash
			t, err := labTarget(c, dir, m, nil)
			return t.lab, t.dir, err
		}
		return nil, "", err
	}
	dir, err := workspaceOf(l)
	if err != nil && l.Manifest.Kind == lab.Code {
		return nil, "", err
	}
	if dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
	}
	return l, dir, nil
}

// answerSeed is what the cluster of an answer lab is set up with: the seed of the workspace. Without a workspace there
// is nothing to be graded yet; the seed that is drawn then is told, so that a workspace can still be made for it.
func answerSeed(errOut io.Writer, l *lab.Lab, dir string) (uint64, error) {
	if dir == "" {
		seed := lab.DrawSeed()
		fmt.Fprintf(errOut, "there is no workspace: this cluster has the seed %d, and \"netsplit lab start %s --seed %d\" makes a folder to answer for it\n", seed, l.Slug, seed)
		return seed, nil
	}
	m, err := lab.ReadMarker(dir)
	if err == nil && m.Seed == 0 {
		err = &kit.Error{Op: "read the seed of", What: dir, Kind: kit.Corrupt, Err: errors.New("its .netsplit/lab.json has none"),
			Hint: fmt.Sprintf("make a new workspace with \"netsplit lab start %s DIR\", or say --seed", l.Slug)}
	}
	return m.Seed, err
}

// prepare makes the lab's tables and data on a fresh cluster, and leaves the data in the journal for the shell.
func prepare(ctx context.Context, c *cluster.Cluster, l *lab.Lab, seed uint64) error {
	c.Journal(shell.JournalData, fmt.Sprintf("data of %s, seed %d", l.Slug, seed), shell.LabData{Seed: seed, Data: l.Scenarios[0].New(seed).Data})
	return l.Prepare(ctx, lab.Record(c.Visible()), seed)
}

// compileProgram builds the student's program for this machine, with the student's own go.mod, outside the workspace.
func compileProgram(ctx context.Context, l *lab.Lab, dir string) ([]string, error) {
	home, err := cluster.Home()
	if err != nil {
		return nil, err
	}
	labs, err := cluster.List(home)
	if err != nil {
		return nil, err
	}
	for _, up := range labs {
		if up.Name == l.Slug && !up.Stale { // its program must stay for restarts
			return nil, &kit.Error{Op: "start lab", What: l.Slug, Kind: kit.Exists, Err: errors.New("it is running already"),
				Hint: fmt.Sprintf("\"netsplit lab down %s\" ends it", l.Slug)}
		}
	}
	folder := filepath.Join(home, "programs")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, &kit.Error{Op: "make folder for the program", Kind: kit.Broken, Err: err}
	}
	program := filepath.Join(folder, l.Slug)
	// Without paths in the object files, the compiler's cache serves every workspace with the same kit.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		return []string{program}, nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, &kit.Error{Op: "compile your program", Kind: kit.Unavailable, Err: err, Hint: "install Go from https://go.dev/dl and put it on the PATH"}
	}
	text := strings.TrimSpace(string(out[:min(len(out), maxCompilerText)]))
	return nil, &kit.Error{Op: "compile your program", What: "in " + dir, Kind: kit.Invalid, Err: fmt.Errorf("%w\n%s", err, text),
		Hint: "mend what the compiler names, then start the lab again"}
}
