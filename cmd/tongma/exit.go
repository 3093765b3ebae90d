package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tongma/tongma"
)

// Exit codes. They are part of the interface: scripts act on them.
const (
	exitDone         = 0
	exitFault        = 1
	exitUsage        = 2
	exitConfig       = 3
	exitUnreachable  = 4
	exitNotAllowed   = 5
	exitNotFound     = 6
	exitConflict     = 7
	exitChecks       = 8
	exitInconclusive = 9
	exitBooks        = 10
	exitInterrupted  = 130
)

// exitKind names an exit code.
type exitKind struct {
	code  int
	slug  string
	title string
}

var exitKinds = []exitKind{
	{exitDone, "done", "Done"},
	{exitFault, "fault", "Unexpected fault in tongma"},
	{exitUsage, "usage", "Wrong usage"},
	{exitConfig, "config-invalid", "The configuration is invalid"},
	{exitUnreachable, "unreachable", "Cannot be reached, or timed out"},
	{exitNotAllowed, "not-allowed", "Not allowed"},
	{exitNotFound, "not-found", "Not found"},
	{exitConflict, "conflict", "Declined, or in conflict with how things stand"},
	{exitChecks, "checks-failed", "Checks ran and failed, or a code is invalid"},
	{exitInconclusive, "inconclusive", "Not known yet"},
	{exitBooks, "books-broken", "The books do not balance, or the journal was altered"},
	{exitInterrupted, "interrupted", "Interrupted"},
}

var exitCodesHelp = func() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, k := range exitKinds {
		fmt.Fprintf(&b, "  %3d  %s\n", k.code, k.title)
	}
	return b.String()
}()

// exitError ends the command with a code of its own. Without err nothing more is
// said: what is on stdout says it.
type exitError struct {
	code  int
	err   error
	money string // outcome: "not_executed", "executed" or "unknown"; "" if no money is in play
	retry tongma.Retry
	next  []string // what to do or type next
}

// Error returns the text of the cause.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

func failf(code int, format string, args ...any) *exitError {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// then adds what to do next.
func (e *exitError) then(next ...string) *exitError {
	e.next = append(e.next, next...)
	return e
}

// problemError is a problem that a node answered with; it is passed on as it is.
type problemError struct {
	problem tongma.Problem
	err     *tongma.Error
}

// Error returns the text of the problem.
func (e *problemError) Error() string { return e.err.Error() }

// Unwrap returns the project's own error of the same reason.
func (e *problemError) Unwrap() error { return e.err }

func usageError(err error) error {
	var e *exitError
	if errors.As(err, &e) {
		return err
	}
	text, rest, _ := strings.Cut(err.Error(), "\n")
	e = &exitError{code: exitUsage, err: errors.New(flagWords(text))}
	for _, line := range strings.Split(rest, "\n") { // cobra's suggestions, one a line behind a tab
		if s, ok := strings.CutPrefix(line, "\t"); ok {
			e.next = append(e.next, "tongma "+s)
		}
	}
	return e
}

// flagWords puts what cobra says of flags that are missing into words of people.
func flagWords(text string) string {
	dashed := func(names []string) string { return "--" + strings.Join(names, ", --") }
	if list, ok := strings.CutPrefix(text, "required flag(s) "); ok {
		return "missing: " + dashed(strings.Split(strings.ReplaceAll(strings.TrimSuffix(list, " not set"), `"`, ""), ", "))
	}
	group, missing, ok := strings.Cut(text, "] are set they must all be set; missing [")
	if names, is := strings.CutPrefix(group, "if any flags in the group ["); ok && is {
		return dashed(strings.Fields(names)) + " go together: missing " + dashed(strings.Fields(strings.TrimSuffix(missing, "]")))
	}
	return text
}

// plainly says what a flag wants in words of people: what the parser of numbers and
// durations says is about itself.
func plainly(err error) error {
	said, parser, ok := strings.Cut(err.Error(), " flag: ")
	if !ok {
		return err
	}
	for _, w := range []struct{ parser, wants string }{{"ParseUint", "a whole number of zero or more"}, {"ParseInt", "a whole number"}, {"ParseFloat", "a number"},
		{"ParseBool", "true or false"}, {"duration", "a time with its unit, as 30s or 5m"}} {
		if strings.Contains(parser, w.parser) {
			return errors.New(said + " flag: want " + w.wants)
		}
	}
	return err
}

// flagError says what is wrong with a flag, and which one was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	e := &exitError{code: exitUsage, err: plainly(err)}
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if s := nearest(name, names); name == "version" {
			e.next = append(e.next, "tongma version")
		} else if s != "" {
			e.next = append(e.next, cmd.CommandPath()+" --"+s)
		}
	}
	return e.then(cmd.CommandPath() + " --help")
}

// exitCodeOf returns the exit code of an error: its own if it has one, else by
// the reason that it carries.
func exitCodeOf(err error) int {
	var own *exitError
	var e *tongma.Error
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &e):
		return exitOfReason(e.Reason)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case errors.Is(err, os.ErrNotExist):
		return exitNotFound
	case errors.Is(err, os.ErrPermission):
		return exitNotAllowed
	}
	return exitFault
}

// exitOfReason sorts the catalogue into exit codes.
func exitOfReason(r tongma.Reason) int {
	info := r.Info()
	switch {
	case r == tongma.SheetMismatch:
		return exitBooks
	case r == tongma.Internal || r == tongma.JournalStopped:
		return exitFault
	case info.HTTP == 202:
		return exitInconclusive
	case r == tongma.ParticipantUnknown: // 403 to whoever asks as somebody that nobody is
		return exitNotFound
	case info.HTTP == 401 || info.HTTP == 403:
		return exitNotAllowed
	case info.HTTP == 404:
		return exitNotFound
	case info.HTTP == 503 || info.HTTP == 504:
		return exitUnreachable
	case info.Money == tongma.MayHaveMoved:
		return exitInconclusive
	case r <= tongma.CodeWrongSide:
		return exitChecks
	case info.HTTP == 400 || info.HTTP == 413 || (r >= tongma.AmountMissing && r <= tongma.CurrencyUnknown):
		return exitUsage
	}
	return exitConflict
}

// problemDoc is the one document on stderr of a command that failed with --json:
// a problem as nodes answer with, and the exit code.
type problemDoc struct {
	tongma.Problem
	Exit int `json:"exit"`
}

// problemOf describes any error. Faults of the command itself, which are not in
// the catalogue, carry the name of their exit code.
func problemOf(err error) problemDoc {
	code := exitCodeOf(err)
	var remote *problemError
	var own *exitError
	var e *tongma.Error
	errors.As(err, &own)
	doc := problemDoc{Exit: code}
	ownWords := false // of where to look
	switch {
	case errors.As(err, &remote):
		doc.Problem = remote.problem
		said := hints(&doc.Problem)
		doc.Next, ownWords = append(said, doc.Next...), len(said) > 0
	case errors.As(err, &e):
		doc.Problem = tongma.ProblemOf(err)
	default:
		kind := kindOf(code)
		doc.Problem = tongma.Problem{Type: "urn:tongma:exit:" + kind.slug, Title: kind.title, Code: kind.slug, Reason: kind.slug,
			Outcome: tongma.NotMoved.String(), Act: tongma.ActOperator, Retry: tongma.RetryNever, Detail: err.Error()}
	}
	if own != nil {
		doc.Next = append(append([]string(nil), own.next...), doc.Next...)
		ownWords = len(own.next) > 0
		if own.money != "" {
			doc.Outcome = own.money
		}
		if own.retry != "" {
			doc.Retry = own.retry
		}
	}
	if general := tongma.StateConflict.Info(); ownWords && doc.Code == general.Reason.Code() { // it speaks of payments and windows
		doc.Next = slices.DeleteFunc(doc.Next, func(s string) bool { return s == general.Advice })
	}
	return doc
}

// hints are what to type next where a command finds out what is right.
func hints(p *tongma.Problem) []string {
	reason, _ := tongma.ParseReason(p.Code)
	switch {
	case reason == tongma.WindowNotClosed && strings.HasPrefix(p.Field, "win_"):
		return []string{"tongma window close " + p.Field}
	case reason == tongma.WindowNotOpen && strings.HasPrefix(p.Field, "win_"):
		return []string{"tongma window show " + p.Field}
	case strings.HasPrefix(p.Field, "/files/"):
		return []string{"no file of this run was compared: put it right, or have it sent again; what a file looks like: tongma recon run --help"}
	case reason == tongma.StateConflict && strings.HasPrefix(p.Field, "win_"):
		return []string{"tongma window show " + p.Field}
	case reason == tongma.StateConflict && strings.HasPrefix(p.Field, "brk_"):
		return []string{"who ended it, and how: tongma recon breaks --state ended"}
	case reason == tongma.DisputeTurn && strings.HasPrefix(p.Field, "pay_"):
		return []string{"whose turn it is: tongma dispute show " + p.Field}
	}
	if reason == tongma.NotPermittedHere && strings.HasPrefix(p.Detail, "it takes two people") {
		return []string{"tongma operator add NAME --data DIR, for each person; a running switch knows them a moment later", "then say who you are: --by NAME"}
	}
	if command := lists[reason]; command != "" {
		return []string{command}
	}
	return nil
}

// lists are the commands that show what there is of what was not found.
var lists = map[tongma.Reason]string{
	tongma.ParticipantUnknown: "tongma participant ls", tongma.WindowUnknown: "tongma window ls", tongma.WindowNotOpen: "tongma window ls", tongma.ModelUnknown: "tongma window models",
	tongma.NoAccount: "tongma position ls", tongma.PaymentUnknown: "tongma pay ls", tongma.DisputeUnknown: "tongma dispute ls", tongma.DisputeTurn: "tongma dispute ls",
	tongma.ProposalUnknown: "tongma cap ls, tongma window words WINDOW", tongma.BreakUnknown: "tongma recon breaks",
	tongma.NotAuthenticated: "name the token of this switch: --data DIR, its own folder, or --token-file FILE",
}

func kindOf(code int) exitKind {
	for _, k := range exitKinds {
		if k.code == code {
			return k
		}
	}
	return exitKinds[exitFault]
}

// fail tells people or programs what went wrong, on stderr. An error that says
// nothing but its exit code leaves the word to stdout.
func (a *app) fail(cmd *cobra.Command, err error) {
	var own *exitError
	if errors.As(err, &own) && own.err == nil {
		return
	}
	doc := problemOf(err)
	if a.json {
		enc := json.NewEncoder(a.err)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(doc)
		return
	}
	p := a.paint(a.err)
	head, reason := doc.Detail, ""
	if strings.HasPrefix(doc.Type, tongma.ProblemType) {
		doc.Field = whereTyped(cmd, doc.Field)
		head, reason = doc.Code+"  "+doc.Title, why(&doc, err)
	}
	head, rest, _ := strings.Cut(head, "\n")
	fmt.Fprintln(a.err, strings.TrimRight(p.red("✗")+" "+p.bold(clean(head))+"   "+doc.Payment.String(), " "))
	if reason != "" || rest == "" {
		rest = reason
	}
	if strings.HasPrefix(doc.Type, tongma.ProblemType) || (own != nil && own.money != "") {
		field(a.err, "Money", moneyText(doc.Outcome))
	}
	name := "Why"
	if reason == "" {
		name = ""
	}
	field(a.err, name, rest)
	for i, s := range doc.Next {
		name := "Do"
		if i > 0 {
			name = ""
		}
		field(a.err, name, s)
	}
}

// whereTyped names a field of a request by what was typed for it: a flag, or an argument.
func whereTyped(cmd *cobra.Command, field string) string {
	if cmd == nil || field == "" || (field[0] != '/' && field[0] != '?') {
		return field
	}
	name := strings.ReplaceAll(field[1:], "_", "-")
	if as := cmd.Flags().Lookup("as"); name == "by" && as != nil && as.Changed { // who acts, as a request has it
		return "--as"
	}
	if cmd.Flags().Lookup(name) != nil {
		return "--" + name
	}
	for i, word := range strings.Fields(cmd.Use)[1:] {
		if strings.EqualFold(strings.Trim(word, "[]"), name) && i < cmd.Flags().NArg() {
			return fmt.Sprintf("%s %q", strings.Trim(word, "[]"), cmd.Flags().Arg(i))
		}
	}
	return field
}

const saidOfMoney = "nothing was written and no money moved"

// why is the detail of a problem and where it was found.
func why(doc *problemDoc, err error) string {
	var parts []string
	if doc.Field != "" {
		parts = append(parts, doc.Field)
	}
	// What the line on the money says already is not said twice.
	if detail := strings.TrimSuffix(strings.TrimSuffix(doc.Detail, saidOfMoney), "; "); detail != "" {
		parts = append(parts, detail)
	}
	if doc.Offset > 0 {
		parts = append(parts, fmt.Sprintf("at byte %d", doc.Offset))
	}
	if len(parts) == 0 {
		// The cause of a fault here is for whoever runs this; of one elsewhere, no
		// more is known than was said.
		var remote *problemError
		var e *tongma.Error
		if errors.As(err, &remote) || !errors.As(err, &e) || (e.Err == nil && e.Reason != tongma.Internal) {
			return ""
		}
		parts = append(parts, err.Error())
	}
	return strings.Join(parts, ": ")
}

func field(w io.Writer, name, value string) {
	if value == "" {
		return
	}
	if name != "" {
		name += ":"
	}
	for i, line := range strings.Split(value, "\n") {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(w, "  %-7s %s\n", name, clean(line))
	}
}

// moneyText says in words what an outcome means for the money.
func moneyText(outcome string) string {
	switch outcome {
	case tongma.NotMoved.String():
		return "no money moved"
	case tongma.Moved.String():
		return "the money moved"
	}
	return "not known yet"
}
