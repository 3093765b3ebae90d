// Command tongma is the switch, its sandbox, and the tools to look into both.
//
// The contract of every command: data goes to stdout and talk to stderr; with
// --json stdout has JSON only and an error is one problem document on stderr; the
// exit code says what kind of end it was (see exit.go); nothing asks a question
// when nobody can answer it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/clearing/journal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// app is one invocation. There are no globals, so that tests can run several at
// once in one process.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	environ  func() []string

	json  bool
	quiet bool
	color string // auto, always or never

	// openStore opens the journal of a data folder for reading.
	openStore func(dir string) (journal.Store, func(), error)

	parsed bool // the command line was understood: what fails from here is no wrong usage
}

func newApp(in io.Reader, out, err io.Writer) *app {
	return &app{in: in, out: out, err: err, env: os.Getenv, environ: os.Environ, color: "auto", openStore: openStore}
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	return newApp(in, out, err).run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if !a.parsed {
		a.json = a.json || asksForJSON(args)
		err = usageError(err)
	}
	var own *exitError
	if errors.As(err, &own) && own.code == exitUsage && len(own.next) == 0 {
		own.then(cmd.CommandPath() + " --help")
	}
	a.fail(cmd, err)
	return exitCodeOf(err)
}

// asksForJSON finds --json in a command line that could not be parsed, so that
// the error has the form that was asked for.
func asksForJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--json", "--json=true":
			return true
		case "--":
			return false
		}
	}
	return false
}

// newRoot returns the whole command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "tongma",
		Short: "An interoperable barcode payment clearing switch",
		Long: "Any wallet's code is accepted at any merchant's till: the switch reads the code, asks the scheme that\n" +
			"issued it, keeps the books between the networks, nets them and has them settled.\n\n" + exitCodesHelp,
		Example: `  tongma demo                                       a whole market in one process
  tongma code parse 0002010102111531...             what a barcode says, and whose it is
  tongma pay send --code 7710... --amount 12.50 --currency CNY --as acq-north
  tongma audit --data tongma-data                   recompute the books from the journal
  tongma errors TM-2103                             what an error means, and what to do`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.color != "auto" && a.color != "always" && a.color != "never" {
				return errors.New(`--color is "auto", "always" or "never"`)
			}
			return nil
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "JSON on stdout; an error is one problem document on stderr")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no talk on stderr but errors")
	flags.StringVar(&a.color, "color", "auto", "auto, always or never; NO_COLOR is obeyed too")
	root.AddCommand(
		newServeCmd(a), newStatusCmd(a), newDemoCmd(a), newSandboxCmd(a), newSimCmd(a),
		newCodeCmd(a), newErrorsCmd(a),
		newPayCmd(a), newTransferCmd(a), newResolveCmd(a), newWindowCmd(a), newPositionCmd(a),
		newCapCmd(a), newParticipantCmd(a), newReconCmd(a), newDisputeCmd(a), newOperatorCmd(a),
		newAuditCmd(a), newDrillCmd(a), newJournalCmd(a), newClusterCmd(a),
		newConfigCmd(a), newDirectoryCmd(a),
		newVersionCmd(a),
	)
	finish(a, root)
	return root
}

// print writes v to stdout: with --json as one object and a line feed, else in
// the form for people.
func (a *app) print(v any, human func(w io.Writer)) {
	if a.json {
		a.printJSON(v)
		return
	}
	human(a.out)
}

func (a *app) printJSON(v any) {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a reader that has gone is the only way to fail, and cannot be told
}

// group makes a command that only has commands below it: without arguments it
// shows its help, and a name that it does not have is an error.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if asked, _ := cmd.Flags().GetBool("json"); asked && len(args) == 0 { // help is no JSON
			return failf(exitUsage, "%s has commands below it, and says nothing by itself", cmd.CommandPath())
		}
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	e := &exitError{code: exitUsage, err: errors.New(`unknown command "` + clean(name) + `" for "` + cmd.CommandPath() + `"`)}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	for _, s := range cmd.SuggestionsFor(name) {
		e.next = append(e.next, cmd.CommandPath()+" "+s)
	}
	if len(e.next) == 0 {
		e.next = []string{cmd.CommandPath() + " --help"}
	}
	return e
}

// finish gives every command what all have: help that shows examples first,
// flag errors that suggest, and no argument passed over in silence.
func finish(a *app, root *cobra.Command) {
	group(root)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newCompletionCmd(a))
	root.SetHelpCommand(newHelpCmd())
	root.InitDefaultHelpCmd()
	a.mark(root)
}

// newHelpCmd shows the help of a command; of one that is not there, an error.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Show the help of a command",
		Example: "  tongma help pay send",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	}
}

// mark notes when a command starts to run: cobra checks arguments, required flags
// and groups before that, and all of them are wrong usage. What it would say of
// arguments repeats them, and one may be a payer's code.
func (a *app) mark(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		a.mark(child)
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) != nil {
				return failf(exitUsage, "these arguments do not fit: want %s", cmd.UseLine())
			}
			return nil
		}
	}
	if runE := cmd.RunE; runE != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.parsed = true
			return runE(cmd, args)
		}
	}
}

const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
`

var helpTemplate = strings.TrimPrefix(`
{{.Short}}
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}
Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of all commands:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{with .Long}}
{{. | trimTrailingWhitespaces}}
{{end}}`, "\n")
