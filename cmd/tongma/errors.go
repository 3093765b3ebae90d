package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
)

// reasonDoc is one row of the catalogue as --json shows it.
type reasonDoc struct {
	Code    string       `json:"code"`
	Reason  string       `json:"reason"`
	Title   string       `json:"title"`
	Outcome string       `json:"outcome"`
	Act     tongma.Actor `json:"act"`
	Retry   tongma.Retry `json:"retry"`
	DE39    string       `json:"iso8583_de39"`
	HTTP    int          `json:"http"`
	Exit    int          `json:"exit"`
	Advice  string       `json:"advice,omitempty"`
}

func docOf(i tongma.ReasonInfo) reasonDoc {
	return reasonDoc{i.Reason.Code(), i.Slug, i.Title, i.Money.String(), i.Act, i.Retry, i.DE39, i.HTTP, exitOfReason(i.Reason), i.Advice}
}

func newErrorsCmd(a *app) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "errors [CODE]",
		Short: "What an error means: what happened to the money, who acts, what to do",
		Example: `  tongma errors TM-2103
  tongma errors over-cap
  tongma errors --json | jq '.errors[] | select(.outcome == "unknown")'`,
		Long: `CODE is a code (TM-2103), a number (2103), a name (over-cap), or a word (cap) that names or titles have. Without it all are
listed. It works without a network: the catalogue is in the program. docs/errors.md is what --markdown writes.`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, i := range tongma.Reasons() {
				names = append(names, i.Reason.Code()+"\t"+i.Title, i.Slug+"\t"+i.Title)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case markdown && (len(args) > 0 || a.json):
				return failf(exitUsage, "--markdown writes the whole catalogue, and no JSON")
			case markdown:
				_, err := io.WriteString(a.out, catalogueMarkdown())
				return err
			case len(args) == 1:
				return a.showReason(args[0])
			}
			a.listReasons(tongma.Reasons())
			return nil
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write the catalogue as Markdown")
	return cmd
}

func (a *app) showReason(name string) error {
	r, ok := tongma.ParseReason(strings.ToLower(name))
	if found := reasonsWith(name); !ok && len(found) > 0 {
		a.listReasons(found)
		return nil
	}
	if !ok {
		e := failf(exitNotFound, "there is no error %q", clean(name))
		var slugs []string
		for _, i := range tongma.Reasons() {
			slugs = append(slugs, i.Slug)
		}
		if s := nearest(strings.ToLower(name), slugs); s != "" {
			e.then("tongma errors " + s)
		}
		return e.then("a word of it finds those that have it: tongma errors cap", "tongma errors")
	}
	info := r.Info()
	d := docOf(info)
	a.print(d, func(w io.Writer) {
		fmt.Fprintln(w, a.paint(w).bold(d.Code+"  "+d.Title))
		field(w, "Name", d.Reason)
		field(w, "Money", moneyText(d.Outcome))
		field(w, "Acts", string(d.Act))
		field(w, "Retry", retryText(d.Retry))
		field(w, "Do", adviceOf(&info))
		field(w, "Maps", fmt.Sprintf("ISO 8583 DE39 %s, HTTP %d, exit code %d", d.DE39, d.HTTP, d.Exit))
	})
	return nil
}

// reasonsWith returns the reasons that have a word, of three letters or more, in their
// name or title.
func reasonsWith(word string) (found []tongma.ReasonInfo) {
	word = strings.ToLower(strings.TrimSpace(word))
	for _, i := range tongma.Reasons() {
		if len(word) > 2 && strings.Contains(i.Slug+" "+strings.ToLower(i.Title), word) {
			found = append(found, i)
		}
	}
	return found
}

func (a *app) listReasons(list []tongma.ReasonInfo) {
	all := struct {
		Errors []reasonDoc `json:"errors"`
	}{}
	var rows [][]string
	for _, i := range list {
		d := docOf(i)
		all.Errors = append(all.Errors, d)
		rows = append(rows, []string{d.Code, d.Reason, moneyText(d.Outcome), string(d.Act), string(d.Retry), d.Title})
	}
	a.print(all, func(w io.Writer) {
		showTable(w, []column{left("code"), left("name"), left("money"), left("acts"), left("retry"), left("what")}, rows)
	})
}

// retryText says in words whether asking again can help.
func retryText(r tongma.Retry) string {
	switch r {
	case tongma.RetrySameKey:
		return "with the same key: the answer will be the true one"
	case tongma.RetryNewKey:
		return "correct it, then send it with a new key"
	case tongma.RetryNewCode:
		return "with a fresh code and a new key"
	case tongma.RetryLater:
		return "unchanged and with a new key, when the cause has gone"
	}
	return "does not help"
}

// adviceOf says what to do about a reason: what the catalogue says, else who acts and
// whether asking again can help.
func adviceOf(i *tongma.ReasonInfo) string {
	switch {
	case i.Advice != "":
		return i.Advice
	case i.Retry == tongma.RetryNever:
		return fmt.Sprintf("It is up to the %s: trying again does not help.", i.Act)
	}
	return fmt.Sprintf("It is up to the %s. Try again %s.", i.Act, retryText(i.Retry))
}

// errorBands are the ranges that the catalogue is numbered in.
var errorBands = []struct {
	from  tongma.Reason
	title string
}{
	{1000, "Input and barcodes"}, {2000, "Routing and the schemes' legs"}, {2100, "What a scheme answered"}, {3000, "Limits"},
	{4000, "Identity"}, {4100, "Repeats and payments"}, {5000, "Windows"}, {8000, "ISO 8583 frames"}, {9000, "Inside the switch"},
}

// catalogueMarkdown renders the catalogue as docs/errors.md.
func catalogueMarkdown() string {
	var b strings.Builder
	b.WriteString("# Errors\n\n" +
		"Written by `tongma errors --markdown`; a test compares. Every error says what happened to the money, who must act, and\n" +
		"whether a retry can help. Over HTTP and NATS it is an RFC 9457 problem document, over ISO 8583 a DE39, and the command\n" +
		"line ends with an exit code.\n\n" +
		"Retry: *never*; *same-key*: repeat as it was, the answer will be the true one; *new-key*: correct it, then send it as\n" +
		"another request; *new-code*: a fresh code and a new key; *later*: unchanged, with a new key, when the cause has gone.\n")
	band := 0
	for _, i := range tongma.Reasons() {
		if band < len(errorBands) && i.Reason >= errorBands[band].from {
			for band+1 < len(errorBands) && i.Reason >= errorBands[band+1].from {
				band++
			}
			b.WriteString("\n## " + errorBands[band].title + "\n\n" +
				"| code | name | what | money | acts | retry | DE39 | HTTP | exit | do |\n|---|---|---|---|---|---|---|---|---|---|\n")
			band++
		}
		d := docOf(i)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %d | %d | %s |\n", d.Code, d.Reason, d.Title, moneyText(d.Outcome), d.Act, d.Retry, d.DE39, d.HTTP, d.Exit, d.Advice)
	}
	return b.String()
}
