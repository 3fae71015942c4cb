package main

import (
	"fmt"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"netsplit/site"
)

func newServeCmd() *cobra.Command {
	var addr string
	var open bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the course on this machine",
		Long: "Serve the course's pages to a browser on this machine. The first line printed is the address.\n" +
			"Without --addr it is " + site.DefaultAddr + " or, when that port is taken, the next free one.",
		Example: "  netsplit serve\n  netsplit serve --addr 127.0.0.1:8080 --open",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, addr, open)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "", "`HOST:PORT` to listen on; the host must be this machine's loopback")
	cmd.Flags().BoolVar(&open, "open", false, "open the start page in the browser")
	return cmd
}

func serve(cmd *cobra.Command, addr string, open bool) error {
	course, err := loadCourse()
	if err != nil {
		return err
	}
	s, err := site.New(site.Config{Course: course, Progress: labProgress})
	if err != nil {
		return err
	}
	ln, err := site.Listen(addr)
	if err != nil {
		return err
	}
	url := site.URL(ln)
	fmt.Fprintln(cmd.OutOrStdout(), url) // scripts read this line: it stands alone and first
	if addr == "" && ln.Addr().String() != site.DefaultAddr {
		fmt.Fprintf(cmd.ErrOrStderr(), "Port 7777 is taken, so this is another one.\n")
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Press Ctrl-C to stop.")
	if open {
		if err := openBrowser(url); err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "No browser could be started (%v); open the address yourself.\n", err)
		}
	}
	return site.Serve(cmd.Context(), ln, site.Guard(s.Handler()))
}

// openBrowser asks the system to show a page and does not wait for it.
func openBrowser(url string) error {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	c := exec.Command(name, args...)
	if err := c.Start(); err != nil {
		return err
	}
	return c.Process.Release()
}
