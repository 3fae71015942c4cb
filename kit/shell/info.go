package shell

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// copyTypes are the ways of keeping a copy, as table_info names them and as info shows them.
var copyTypes = []string{"ram_copies", "disc_copies", "disc_only_copies"}

// info prints what mnesia:info() tells: whether the store runs, who runs with it, and each table's copies.
func (d *DB) info(r *run, name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := starlark.UnpackArgs(name, args, kwargs); err != nil {
		return nil, err
	}
	var b strings.Builder
	running, err := d.question(r, "is_running")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "store on %s: running = %s\n", d.node, running)
	for _, item := range []string{"running_db_nodes", "db_nodes"} {
		if names, err := d.nameList(r, item); err == nil {
			fmt.Fprintf(&b, "  %-17s %s\n", item, listText(names))
		}
	}
	tables, err := d.nameList(r, "tables")
	if err != nil {
		r.print(r.th, strings.TrimRight(b.String(), "\n"))
		return starlark.None, nil // a stopped store has no more to tell
	}
	slices.Sort(tables)
	rows := [][]string{{"table", "type", "size", "copies", "read from"}}
	for _, t := range tables {
		rows = append(rows, d.tableRow(r, t))
	}
	b.WriteString(columns(rows))
	r.print(r.th, strings.TrimRight(b.String(), "\n"))
	return starlark.None, nil
}

func listText(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

func (d *DB) question(r *run, item string) (string, error) {
	v, err := d.perform(r, verbNamed("system_info"), starlark.Tuple{starlark.String(item)}, nil)
	if err != nil {
		return "", err
	}
	return textOf(v), nil
}

func textOf(v starlark.Value) string {
	if s, ok := v.(starlark.String); ok {
		return string(s)
	}
	if v == starlark.True {
		return "yes"
	}
	if v == starlark.False {
		return "no"
	}
	return v.String()
}

func (d *DB) tableRow(r *run, table string) []string {
	item := func(name string) string {
		t, err := r.tableItem(d.node, table, name)
		if err != nil {
			return "?"
		}
		if t == term.Atom("nowhere") || t == term.Atom("undefined") {
			return "nowhere"
		}
		if list, ok := t.(term.List); ok {
			var names []string
			for _, x := range list {
				names = append(names, strings.Trim(term.String(x), "'"))
			}
			return strings.Join(names, ",")
		}
		return term.String(t)
	}
	var copies []string
	for _, kind := range copyTypes {
		if on := item(kind); on != "" && on != "?" && on != "nowhere" {
			copies = append(copies, strings.TrimSuffix(kind, "_copies")+" "+on)
		}
	}
	return []string{table, item("type"), item("size"), strings.Join(copies, "; "), item("where_to_read")}
}

// columns aligns rows under their heads.
func columns(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := "  "
		for i, cell := range row {
			line += fmt.Sprintf("%-*s  ", width[i], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
