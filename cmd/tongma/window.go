package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	switching "github.com/tongma/tongma/switch"
	"github.com/tongma/tongma/switch/api"
)

func newWindowCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "window",
		Short: "See, close and settle clearing windows",
		Example: `  tongma window ls
  tongma window show win_000001
  tongma window close win_000001
  tongma window project win_000001
  tongma window settle win_000001`,
	}, newWindowListCmd(a), newWindowShowCmd(a), newWindowProjectCmd(a), newWindowCloseCmd(a), newWindowSettleCmd(a))
}

func newWindowListCmd(a *app) *cobra.Command {
	var t target
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the latest windows, newest first",
		Example: `  tongma window ls
  tongma window ls --json | jq '.windows[0].to_move'`,
		Long: "gross is what all payments of a window add up to, to move what the net debtors pay.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				got, err := c.ask(ctx, http.MethodGet, fmt.Sprintf("/v1/windows?limit=%d", limit), "", nil)
				if err != nil {
					return err
				}
				var list api.WindowList
				if err := c.read(got, &list); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) { drawWindows(w, list.Windows) })
				return nil
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many at most, 1 to 200")
	return cmd
}

func drawWindows(w io.Writer, list []switching.WindowView) {
	var rows [][]string
	for _, v := range list {
		rows = append(rows, []string{v.Window, v.State, fmt.Sprint(v.Payments), sums(v.Gross), sums(v.ToMove), v.OpenedAt, v.ClosedAt})
	}
	showTable(w, []column{left("window"), left("state"), right("payments"), right("gross"), right("to move"), left("opened at"), left("closed at")}, rows)
}

// sums joins amounts by currency: "12.50 CNY, 3 JPY".
func sums(byCurrency map[string]string) string {
	var parts []string
	for _, c := range sortedKeys(byCurrency) {
		parts = append(parts, byCurrency[c]+" "+c)
	}
	return strings.Join(parts, ", ")
}

func newWindowShowCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "show WINDOW",
		Short: "Show a window's net sheet: who owes whom, and what nets out",
		Example: `  tongma window show win_000001
  tongma window show 1 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := windowArgument(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				return a.askWindow(ctx, c, http.MethodGet, "/v1/windows/"+id.String())
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	return cmd
}

func newWindowCloseCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "close [WINDOW]",
		Short: "Close the open window; the next one opens in the same instant",
		Example: `  tongma window close
  tongma window close win_000001       a repeat of this closes no other window`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/windows/close"
			if len(args) == 1 {
				id, err := windowArgument(args[0])
				if err != nil {
					return err
				}
				path += "?window=" + id.String()
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				a.say("closing on %s", c.base.Host)
				return a.askWindow(ctx, c, http.MethodPost, path)
			})
		},
	}
	t.flags(cmd)
	return cmd
}

func newWindowSettleCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "settle WINDOW",
		Short:   "Have a closed window's nets moved: all debits first, then the credits",
		Example: `  tongma window settle win_000001`,
		Long:    "It may be repeated after any fault: each instruction to the settlement agent is carried out once.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := windowArgument(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				a.say("settling on %s", c.base.Host)
				return a.askWindow(ctx, c, http.MethodPost, "/v1/windows/"+id.String()+"/settle")
			})
		},
	}
	t.flags(cmd)
	patience(cmd, 6*time.Minute) // the switch gives the agent five
	return cmd
}

func windowArgument(text string) (tongma.WindowID, error) {
	id, err := tongma.ParseWindowID(text)
	if err != nil {
		return 0, failf(exitUsage, "%q is no window: win_000001, or 1", clean(text))
	}
	return id, nil
}

func (a *app) askWindow(ctx context.Context, c *client, method, path string) error {
	got, err := c.ask(ctx, method, path, "", nil)
	if err != nil {
		return err
	}
	var v switching.WindowView
	if err := c.read(got, &v); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) { a.drawWindow(w, &v) })
	return nil
}

func (a *app) drawWindow(w io.Writer, v *switching.WindowView) {
	p := a.paint(w)
	fmt.Fprintf(w, "%s  %s  %d payments", p.bold(v.Window), v.State, v.Payments)
	if v.EndEntry > 0 {
		fmt.Fprintf(w, ", journal entries %d to %d", v.FirstEntry, v.EndEntry-1)
	}
	fmt.Fprintln(w)
	for _, c := range sortedKeys(v.Gross) {
		fmt.Fprintf(w, "  %s gross %s, to move %s\n", c, v.Gross[c], v.ToMove[c])
	}
	var rows [][]string
	for _, o := range v.Matrix {
		rows = append(rows, []string{o.Debtor, o.Creditor, fmt.Sprint(o.Payments), o.Gross, o.Currency})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "\nwho owes whom, before netting")
		showTable(w, []column{left("debtor"), left("creditor"), right("payments"), right("gross"), left("")}, rows)
	}
	rows = nil
	for _, n := range v.Nets {
		word := "pays"
		if strings.HasPrefix(n.Net, "-") {
			word = "receives"
		}
		rows = append(rows, []string{n.Participant, n.Debits, n.Credits, word, strings.TrimPrefix(n.Net, "-"), n.Currency})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "\nafter netting")
		showTable(w, []column{left("participant"), right("debits"), right("credits"), left(""), right("net"), left("")}, rows)
	}
	if len(v.Instructions) > 0 {
		rows = nil
		for _, i := range v.Instructions {
			rows = append(rows, []string{i.ID, i.Direction, i.Participant, i.Amount, i.Currency})
		}
		fmt.Fprintln(w, "\ninstructions to the settlement agent, in order")
		showTable(w, []column{left("id"), left(""), left("participant"), right("amount"), left("")}, rows)
	}
	fmt.Fprintln(w, p.dim("\nsheet "+v.SheetHash))
}

func newPositionCmd(a *app) *cobra.Command {
	var t target
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List positions, holds and caps",
		Example: `  tongma position ls
  tongma position ls --json | jq '.positions[] | select(.suspended)'`,
		Long: "A position above zero owes. position + held + a new amount must stay within the cap.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				got, err := c.ask(ctx, http.MethodGet, "/v1/positions", "", nil)
				if err != nil {
					return err
				}
				var list api.PositionList
				if err := c.read(got, &list); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) { drawPositions(w, list.Positions) })
				return nil
			})
		},
	}
	t.flags(ls)
	t.asFlag(ls, false)
	return group(&cobra.Command{
		Use:     "position",
		Short:   "See what each participant owes or is owed, and its cap",
		Example: "  tongma position ls",
	}, ls)
}

func drawPositions(w io.Writer, list []switching.PositionView) {
	var rows [][]string
	for _, p := range list {
		note := ""
		if p.Suspended {
			note = "suspended"
		}
		rows = append(rows, []string{p.Participant, p.Currency, p.Position, p.Reserved, p.Cap, p.Available, note})
	}
	showTable(w, []column{left("participant"), left("currency"), right("position"), right("held"), right("cap"), right("available"), left("")}, rows)
}

func newWindowProjectCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "project [WINDOW...]",
		Short: "Show what settling would do, before anyone does it",
		Example: `  tongma window project                     all that are not settled, the open one as if closed now
  tongma window project win_000001          that one alone: who would then be beyond its cap?`,
		Long: "It changes nothing. Exit code 8 says that somebody would be beyond the cap afterwards.",
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			for _, arg := range args {
				id, err := windowArgument(arg)
				if err != nil {
					return err
				}
				query.Add("window", id.String())
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				got, err := c.ask(ctx, http.MethodGet, "/v1/windows/projection?"+query.Encode(), "", nil)
				if err != nil {
					return err
				}
				var v switching.ProjectionView
				if err := c.read(got, &v); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) { drawProjection(w, v) })
				if v.Beyond > 0 {
					return &exitError{code: exitChecks}
				}
				return nil
			})
		},
	}
	t.flags(cmd)
	return cmd
}

func drawProjection(w io.Writer, v switching.ProjectionView) {
	if len(v.Windows) == 0 {
		fmt.Fprintln(w, "nothing is left to settle")
		return
	}
	fmt.Fprintf(w, "settling %s would move %s by %d instructions\n\n", strings.Join(v.Windows, ", "), sums(v.ToMove), len(v.Instructions))
	var rows [][]string
	for _, p := range v.Positions {
		mark := ""
		if p.Beyond != "" {
			mark = "beyond its cap by " + p.Beyond
		}
		rows = append(rows, []string{p.Participant, p.Currency, p.Position, p.Settled, p.After, p.Reserved, p.Cap, mark})
	}
	showTable(w, []column{left("participant"), left("currency"), right("position"), right("settled"), right("after"), right("held"), right("cap"), left("")}, rows)
}
