package main

import (
	"github.com/spf13/cobra"

	"netsplit/kit/node"
)

// newNodeCmd is the plain node of a lab cluster. It is started by "lab up" and by nobody else.
func newNodeCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "__node",
		Short:  "Be a node of a lab cluster",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return exitCode{code: node.Process(node.App{}, cmd.ErrOrStderr())}
		},
	}
}
