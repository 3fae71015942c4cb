package node

import (
	"context"
	"errors"

	"netsplit/kit/door"
	"netsplit/kit/proc"
	"netsplit/kit/term"
)

// superVerbs are the verbs of supervisors, named as OTP's functions are.
func (f *procFace) superVerbs() []door.Verb {
	return []door.Verb{
		{Name: "supervisor", Params: []string{"options"}, Doc: "starts a supervisor; options is a map with strategy, max_restarts, max_seconds and children", Handler: f.supervisor},
		{Name: "start_child", Params: []string{"supervisor", "spec"}, Doc: "adds a child to a supervisor and gives its pid", Handler: f.superviseWith("start_child")},
		{Name: "terminate_child", Params: []string{"supervisor", "id"}, Doc: "stops a child; its spec stays, unless it is temporary", Handler: f.superviseWith("terminate_child")},
		{Name: "restart_child", Params: []string{"supervisor", "id"}, Doc: "starts a child that is stopped", Handler: f.superviseWith("restart_child")},
		{Name: "delete_child", Params: []string{"supervisor", "id"}, Doc: "forgets a child that is stopped", Handler: f.superviseWith("delete_child")},
		{Name: "get_childspec", Params: []string{"supervisor", "id"}, Doc: "the spec of a child", Handler: f.superviseWith("get_childspec")},
		{Name: "which_children", Params: []string{"supervisor"}, Doc: "the children: {Id, Pid, Type, [Function]}, the last started first", Handler: f.superviseWith("which_children")},
		{Name: "count_children", Params: []string{"supervisor"}, Doc: "how many children there are, by state and type", Handler: f.superviseWith("count_children")},
		{Name: "dist_supervisor", Params: []string{"options"}, Doc: "starts a distributed supervisor, here and by and by on the other members; options is a map with name, members, quorum, max_restarts and max_seconds", Handler: f.distSupervisor},
		{Name: "members", Params: []string{"supervisor"}, Doc: "the members of a distributed supervisor: {Node, up | down | no_quorum, Children}", Handler: f.superviseWith("members")},
		{Name: "rebalance", Params: []string{"supervisor"}, Doc: "spreads the children of a distributed supervisor evenly again, and gives how many move", Handler: f.superviseWith("rebalance")},
		{Name: "stop_supervisor", Params: []string{"supervisor"}, Doc: "stops a supervisor and its children", Handler: f.superviseWith("stop")},
	}
}

func (f *procFace) supervisor(ctx context.Context, r door.Request) door.Outcome {
	return f.starts(ctx, r, (*proc.Process).StartSupervisorTerm)
}

func (f *procFace) distSupervisor(ctx context.Context, r door.Request) door.Outcome {
	return f.starts(ctx, r, (*proc.Process).StartDistSupervisorTerm)
}

// starts starts a supervisor in the name of the client's own process, which is not linked to it.
func (f *procFace) starts(ctx context.Context, r door.Request, start func(*proc.Process, term.Term) (term.Pid, error)) door.Outcome {
	p, err := f.own(ctx, r.Client)
	if err != nil {
		return outcome(nil, err)
	}
	var pid term.Pid
	err = p.Act(func() (err error) {
		pid, err = start(p, r.Args[0])
		return err
	})
	return superviseOutcome(pid, err)
}

// superviseOutcome shows what OTP answers as {error, Reason} so.
func superviseOutcome(v term.Term, err error) door.Outcome {
	var e *proc.Exception
	if errors.As(err, &e) && e.Class == "error" {
		return reasonOutcome(door.Error, "", e.Reason)
	}
	return outcome(v, err)
}

// superviseWith asks a supervisor: a pid, a local name or {Name, Node}.
func (f *procFace) superviseWith(what string) func(context.Context, door.Request) door.Outcome {
	return func(ctx context.Context, r door.Request) door.Outcome {
		req := term.Term(term.Atom(what))
		if len(r.Args) > 1 {
			req = term.T(req, r.Args[1])
		}
		v, err := f.rt.Supervisor(r.Args[0]).Done(ctx, req)
		return superviseOutcome(v, err)
	}
}
