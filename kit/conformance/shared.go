package conformance

import (
	"encoding/json"
	"fmt"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// Scenarios keep backups in a folder that all nodes share. A node's files are its own; so the runner fetches what a step
// has written and gives it to the node of a later step that reads it, through the doors. That works in every world.

// sharedFiles are the files of the shared folder.
type sharedFiles struct {
	content map[string][]byte
	at      map[string]kit.NodeName // a node that has the file as it is
}

// readsFile and writesFile say which field of a step names a file that it reads or writes.
var readsFile = map[string]string{"backup_contents": "file", "restore": "file", "install_fallback": "file", "traverse_backup": "file"}
var writesFile = map[string]string{"backup": "file", "backup_checkpoint": "file", "traverse_backup": "to", "dump_to_textfile": "file"}

// filePart is how many bytes go through a door at once.
const filePart = 128 << 10

// giveFile brings a shared file to the node of a step that reads it.
func (r *run) giveFile(s Step) error {
	name := s.text(readsFile[s.Do()])
	nodes, _ := s.on()
	content, ok := r.shared.content[name]
	if !ok || len(nodes) != 1 || r.shared.at[name] == nodes[0] || !r.up[nodes[0]] {
		return nil
	}
	for at := 0; ; {
		part := content[at:min(len(content), at+filePart)]
		req := door.Request{Verb: "file_put", Args: []term.Term{term.Bin(name), term.Int(at), term.Bin(part)}}
		if out := r.w.Call(r.ctx, "main", nodes[0], req); out.Status != door.OK {
			return fmt.Errorf("cannot put file %s at %s: %s", name, nodes[0], encode(out))
		}
		if at += len(part); len(part) == 0 {
			r.shared.at[name] = nodes[0]
			return nil
		}
	}
}

// takeFile fetches what a step has written.
func (r *run) takeFile(s Step) error {
	name := s.text(writesFile[s.Do()])
	nodes, _ := s.on()
	if name == "" || name == "read_only" || len(nodes) != 1 || !r.up[nodes[0]] {
		return nil
	}
	var content []byte
	for {
		req := door.Request{Verb: "file_get", Args: []term.Term{term.Bin(name), term.Int(len(content))}}
		out := r.w.Call(r.ctx, "main", nodes[0], req)
		if out.Status != door.OK {
			return nil // the step has failed and written nothing
		}
		t, err := term.FromJSON(out.Value)
		part, ok := t.(term.Bin)
		if err != nil || !ok {
			return fmt.Errorf("file %s of %s cannot be read: %s", name, nodes[0], out.Value)
		}
		if content = append(content, part...); len(part) == 0 {
			break
		}
	}
	if r.shared.content == nil {
		r.shared.content, r.shared.at = map[string][]byte{}, map[string]kit.NodeName{}
	}
	r.shared.content[name], r.shared.at[name] = content, nodes[0]
	return nil
}

// damageShared appends rubbish to a shared file.
func (r *run) damageShared(s Step) error {
	name := s.text("file")
	if content, ok := r.shared.content[name]; ok {
		r.shared.content[name] = append(content, "trash trash trash"...)
		delete(r.shared.at, name)
	}
	return nil
}

// damage damages a node's disc. When the node does not run, it is done as soon as it does, before its store starts.
func (r *run) damage(s Step) error {
	if _, ok := r.verbs["damage"]; !ok {
		return errNotYet{"damage"}
	}
	n := kit.NodeName(s.text("node"))
	if !r.up[n] {
		r.damages = append(r.damages, s)
		return nil
	}
	req := door.Request{Verb: "damage", Args: []term.Term{term.Bin(s.text("file")), term.Atom(s.text("what"))}}
	if out := r.w.Call(r.ctx, "main", n, req); out.Status != door.OK {
		return fmt.Errorf("cannot damage the disc of %s: %s", n, encode(out))
	}
	return nil
}

// damageLater does what was to be done to the disc of nodes that run again.
func (r *run) damageLater() error {
	todo := r.damages
	r.damages = nil
	for _, s := range todo {
		if err := r.damage(s); err != nil { // of another node that is down still it is put off again
			return err
		}
	}
	return nil
}

// wipeDisc empties a node's disc, and its files with it.
func (r *run) wipeDisc(n kit.NodeName) error {
	for name, at := range r.shared.at {
		if at == n {
			delete(r.shared.at, name)
		}
	}
	return r.w.WipeDisc(n)
}

// textArgument makes the text of load_textfile its definition.
func textArgument(s Step) Step {
	if _, ok := s["def"]; ok || s.Do() != "load_textfile" {
		return s
	}
	c := Step{"def": json.RawMessage(`{"s":` + string(s["text"]) + `}`)}
	for k, v := range s {
		c[k] = v
	}
	return c
}
