package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

func newWindowCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "window",
		Short: "See, close and settle clearing windows",
		Example: `  tongma window ls
  tongma window show win_000001
  tongma window close win_000001
  tongma window project win_000001
  tongma window settle win_000001 --dry-run`,
	}, append([]*cobra.Command{newWindowListCmd(a), newWindowShowCmd(a), newWindowPaymentsCmd(a), newWindowModelsCmd(a), newWindowExportCmd(a), newWindowProjectCmd(a), newWindowStressCmd(a),
		newWindowCloseCmd(a), newWindowSettleCmd(a)}, newWindowHandCmds(a)...)...)
}

func newWindowListCmd(a *app) *cobra.Command {
	var t target
	var limit int
	var model string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the latest windows, newest first",
		Example: `  tongma window ls
  tongma window ls --model thb-net
  tongma window ls --json | jq '.windows[0].to_move'`,
		Long: "gross is what all payments of a window add up to, to move what the net debtors pay.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if cmd.Flags().Changed("model") {
				query.Set("model", model)
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.WindowsPage
				return a.show(ctx, c, "/v1/windows?"+query.Encode(), &list, func(w io.Writer) { drawWindows(w, list.Windows) })
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many at most, 1 to 200")
	cmd.Flags().StringVar(&model, "model", "", "of this settlement model only")
	a.completeModels(cmd, &t)
	return cmd
}

// show asks for JSON and prints it: as it is, or drawn.
func (a *app) show(ctx context.Context, c *client, path string, v any, draw func(w io.Writer)) error {
	got, err := c.ask(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if err := c.read(got, v); err != nil {
		return err
	}
	a.print(raw(got.body), draw)
	return nil
}

func drawWindows(w io.Writer, list []api.Window) {
	var rows [][]string
	for _, v := range list {
		rows = append(rows, []string{v.Window, v.State, v.Model, fmt.Sprint(v.Payments), sums(v.Gross), sums(v.ToMove), v.OpenedAt, v.ClosedAt})
	}
	showTable(w, []column{left("window"), left("state"), left("model"), right("payments"), right("gross"), right("to move"), left("opened at"), left("closed at")}, rows)
}

// sums joins amounts by currency: "12.50 CNY, 3 JPY".
func sums(byCurrency map[string]string) string {
	var parts []string
	for _, c := range sortedKeys(byCurrency) {
		parts = append(parts, byCurrency[c]+" "+c)
	}
	return strings.Join(parts, ", ")
}

// sheetForms are the forms of a net sheet beside the table and JSON.
var sheetForms = []string{"csv", "pacs009", "pacs029"}

func newWindowShowCmd(a *app) *cobra.Command {
	var t target
	var form string
	cmd := &cobra.Command{
		Use:   "show WINDOW",
		Short: "Show a window's net sheet: who owes whom, and what nets out",
		Example: `  tongma window show win_000001
  tongma window show 1 --json
  tongma window show 1 --format csv > sheet.csv
  tongma window show 1 --format pacs029 | xmllint --format -`,
		Long: "pacs009 is one order for each movement that is still due, pacs029 the whole sheet in one message, each in an envelope of\nhead.001, as the settlement agent gets them.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.json && form != "" && form != "json" {
				return failf(exitUsage, "--format %s and --json: give one of them", clean(form))
			}
			return a.aboutWindow(cmd, &t, args[0], func(ctx context.Context, c *client, id tongma.WindowID) error {
				path := "/v1/windows/" + id.String()
				if form == "" {
					var v api.Window
					return a.show(ctx, c, path, &v, func(w io.Writer) { a.drawWindow(w, &v) })
				}
				got, err := c.ask(ctx, http.MethodGet, path+"?format="+url.QueryEscape(form), "", nil)
				if err != nil {
					return err
				}
				_, err = a.out.Write(got.body)
				return err
			})
		},
	}
	t.flags(cmd)
	a.completeWindows(cmd, &t)
	t.asFlag(cmd, false)
	cmd.Flags().StringVar(&form, "format", "", "as a file on stdout: "+strings.Join(sheetForms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return sheetForms, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func newWindowPaymentsCmd(a *app) *cobra.Command {
	var t target
	var limit int
	var after uint64
	cmd := &cobra.Command{
		Use:     "payments WINDOW",
		Short:   "List exactly what a window holds, in the order of the journal",
		Example: `  tongma window payments win_000001 --limit 1000 --json`,
		Long:    "A payment that was moved into a later window, since its payer could not pay, is listed in both, and counts in the later one.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.aboutWindow(cmd, &t, args[0], func(ctx context.Context, c *client, id tongma.WindowID) error {
				var page api.WindowItems
				return a.show(ctx, c, fmt.Sprintf("/v1/windows/%s/payments?limit=%d&after=%d", id, limit, after), &page, func(w io.Writer) { a.drawItems(w, &page) })
			})
		},
	}
	t.flags(cmd)
	a.completeWindows(cmd, &t)
	t.asFlag(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	cmd.Flags().Uint64Var(&after, "after", 0, "go on behind this journal entry")
	return cmd
}

func (a *app) drawItems(w io.Writer, page *api.WindowItems) {
	var rows [][]string
	for _, it := range page.Items {
		note := ""
		switch {
		case it.DeferredTo != "":
			note = "moved to " + it.DeferredTo
		case it.DeferredIn:
			note = "moved in"
		}
		fees := make([]string, len(it.Fees))
		for i, f := range it.Fees {
			fees[i] = fmt.Sprintf("%s %s→%s", f.Amount, f.From, f.To)
		}
		rows = append(rows, []string{fmt.Sprint(it.Entry), it.Kind, it.Payment, it.Operation, it.Debtor, it.Creditor, it.Amount, it.Currency, strings.Join(fees, ", "), note})
	}
	showTable(w, []column{right("entry"), left("kind"), left("payment"), left("operation"), left("debtor"), left("creditor"), right("amount"), left(""), left("fees"), left("")}, rows)
	if page.Next > 0 {
		a.say("more: tongma window payments %s --after %d", page.Window, page.Next)
	}
}

func newWindowModelsCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "models",
		Short:   "List the settlement models: which payments they take, how they settle, and when next",
		Example: `  tongma window models --json | jq '.models[].next'`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.ModelList
				return a.show(ctx, c, "/v1/models", &list, func(w io.Writer) { drawModels(w, list.Models) })
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	return cmd
}

func drawModels(w io.Writer, list []api.ModelView) {
	var rows [][]string
	for _, m := range list {
		name, next, settles := m.Model, "by hand", ""
		if name == "" {
			name = "(default)"
		}
		switch {
		case m.Fault != "":
			next = m.Fault
		case m.Next != nil:
			next, settles = m.Next.Local, m.Next.ValueDate
		}
		rows = append(rows, []string{name, m.Method, m.Agent, strings.Join(m.Currencies, " "), m.Open, next, settles})
	}
	showTable(w, []column{left("model"), left("method"), left("agent"), left("currencies"), left("open window"), left("next cut-off"), left("settles")}, rows)
}

func newWindowCloseCmd(a *app) *cobra.Command {
	var ch change
	var model, date string
	cmd := &cobra.Command{
		Use:   "close [WINDOW]",
		Short: "Close the open window; the next one opens in the same instant",
		Example: `  tongma window close
  tongma window close win_000001       a repeat of this closes no other window
  tongma window close --model thb-net --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				id, err := windowArgument(args[0])
				if err != nil {
					return err
				}
				query.Set("window", id.String())
			}
			if model != "" {
				query.Set("model", model)
			}
			if date != "" {
				query.Set("value_date", date)
			}
			path := "/v1/windows/close"
			if len(query) > 0 {
				path += "?" + query.Encode()
			}
			return ch.run(cmd, a, path, nil, func(c *client, got reply) error {
				a.say("closing on %s", c.base.Host)
				var v api.Closing
				if err := c.read(got, &v); err != nil {
					return err
				}
				a.print(raw(got.body), func(w io.Writer) {
					if v.DryRun {
						fmt.Fprintln(w, "dry run: nothing was closed; it would be")
					}
					a.drawWindow(w, &v.Window)
				})
				return nil
			})
		},
	}
	ch.flags(cmd, false)
	a.completeWindows(cmd, &ch.t)
	cmd.Flags().StringVar(&model, "model", "", "settlement model whose window is meant; default: the one that every book has")
	a.completeModels(cmd, &ch.t)
	cmd.Flags().StringVar(&date, "value-date", "", "day on which it settles, as 2026-11-23; default: by the schedule")
	return cmd
}

func newWindowSettleCmd(a *app) *cobra.Command {
	var ch change
	var steps string
	var retry bool
	cmd := &cobra.Command{
		Use:   "settle WINDOW",
		Short: "Have a closed window settled: all debits first, then the credits",
		Example: `  tongma window settle win_000001
  tongma window settle win_000001 --dry-run
  tongma window settle win_000001 --steps 1     one step of the rules for who is short
  tongma window settle win_000001 --retry       ask those again who were refused`,
		Long: `Who cannot pay is suspended; then its prefunding pays, then the guarantee line, then the others by the loss-sharing key,
and what is left rolls over to the next window, payment by payment. Each step is an entry of the journal.

It may be repeated after any fault: each instruction to the settlement agent is carried out once. Exit code 9 says that
something is not known or not done yet; what it waits for is listed.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := windowArgument(args[0])
			if err != nil {
				return err
			}
			query := url.Values{"retry": {strconv.FormatBool(retry)}}
			if steps != "" {
				query.Set("steps", steps)
			}
			err = ch.run(cmd, a, "/v1/windows/"+id.String()+"/settle?"+query.Encode(), nil, a.showSettlement)
			var cut *exitError
			if errors.As(err, &cut) && cut.money == tongma.MayHaveMoved.String() { // nobody heard the end, but the switch goes on
				cut.next = []string{"the switch goes on with it; how far it is: tongma window show " + id.String(), "tongma window settle " + id.String() + " again: nothing is paid twice"}
			}
			return err
		},
	}
	ch.flags(cmd, false)
	a.completeWindows(cmd, &ch.t)
	cmd.Flags().StringVar(&steps, "steps", "", `at most so many steps for who is short; "none": none; default: all`)
	cmd.Flags().BoolVar(&retry, "retry", false, "ask those again who were refused: they may have got money since")
	patience(cmd, 6*time.Minute) // the switch gives the agent five
	return cmd
}

func (a *app) showSettlement(c *client, got reply) error {
	var v api.Settlement
	if err := c.read(got, &v); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) { a.drawSettlement(w, &v) })
	if !v.Done && !v.DryRun {
		a.sayNext(&v)
		return &exitError{code: exitInconclusive}
	}
	return nil
}

// sayNext tells what somebody can do about a window that is not settled yet.
func (a *app) sayNext(v *api.Settlement) {
	settle := "tongma window settle " + v.Window.Window
	var next []string
	refused, unheard := false, len(v.Waits) == 0
	for _, e := range v.Waits {
		short := e.Kind == "short" || e.Kind == "rejected"
		refused, unheard = refused || short, unheard || !short
	}
	if unheard {
		next = append(next, settle+": the agent is asked what became of it, and pays nothing twice")
	}
	if len(v.Plan) > 0 {
		next = append(next, settle+" --steps 1: the next step of the rules")
	}
	if refused {
		next = append(next, settle+" --retry: asks those again who were refused, once the cause is gone",
			"tongma window confirm "+v.Window.Window+" INSTRUCTION, by two people: if it was paid by other means")
	}
	for i, line := range next {
		if i == 0 {
			line = "not settled yet. Next: " + line
		}
		a.say("%s", line)
	}
}

func (a *app) drawSettlement(w io.Writer, v *api.Settlement) {
	if v.DryRun && !v.Exists {
		fmt.Fprintln(w, "dry run: nothing was sent or written; it would be")
	}
	if v.Exists {
		fmt.Fprintln(w, "nothing was sent now and no money moved: it was settled already")
	}
	for _, e := range v.Events {
		fmt.Fprintln(w, "  "+clean(e.Says))
	}
	for _, e := range v.Waits {
		fmt.Fprintln(w, a.paint(w).yellow("  waits: ")+clean(e.Says))
	}
	for _, s := range v.Plan {
		fmt.Fprintf(w, "  next by the rules: %s, for %s: %s %s %s\n", s.Step, s.Short, s.Payer, s.Amount, s.Currency)
	}
	if len(v.Events)+len(v.Waits)+len(v.Plan) > 0 {
		fmt.Fprintln(w)
	}
	a.drawWindow(w, &v.Window)
}

// aboutWindow reads a window's name, connects, and asks about it.
func (a *app) aboutWindow(cmd *cobra.Command, t *target, name string, ask func(context.Context, *client, tongma.WindowID) error) error {
	id, err := windowArgument(name)
	if err != nil {
		return err
	}
	return a.with(cmd, t, func(ctx context.Context, c *client) error { return ask(ctx, c, id) })
}

func windowArgument(text string) (tongma.WindowID, error) {
	id, err := tongma.ParseWindowID(text)
	if err != nil {
		return 0, failf(exitUsage, "%q is no window: win_000001, or 1", clean(text))
	}
	return id, nil
}

func (a *app) drawWindow(w io.Writer, v *api.Window) {
	p := a.paint(w)
	fmt.Fprintf(w, "%s  %s  %s", p.bold(v.Window), v.State, counted(v.Payments, "payment"))
	if v.EndEntry > 0 {
		fmt.Fprintf(w, ", journal entries %d to %d", v.FirstEntry, v.EndEntry-1)
	}
	fmt.Fprintln(w)
	if v.Model != "" {
		fmt.Fprintf(w, "  model %s, %s", v.Model, v.Method)
		if v.ValueDate != "" {
			fmt.Fprintf(w, ", value date %s by %s", v.ValueDate, v.Calendar)
		}
		fmt.Fprintln(w)
	}
	if len(v.Awaited) > 0 {
		fmt.Fprintf(w, "  not whole: waits for what shard %s has to hand over; nothing is instructed before\n", shardList(v.Awaited))
	}
	if v.HeadWindow != "" {
		fmt.Fprintf(w, "  settled by %s of shard 1\n", v.HeadWindow)
	}
	for _, c := range sortedKeys(v.Gross) {
		fmt.Fprintf(w, "  %s gross %s, to move %s", c, v.Gross[c], v.ToMove[c])
		if share := v.Compression[c]; share != "" {
			fmt.Fprintf(w, " (%s %% of it)", share)
		}
		fmt.Fprintln(w)
	}
	drawSheet(w, v)
	fmt.Fprintln(w, p.dim("\nsheet "+v.SheetHash))
}

func drawSheet(w io.Writer, v *api.Window) {
	section := func(title string, columns []column, rows [][]string) {
		if len(rows) > 0 {
			fmt.Fprintln(w, "\n"+title)
			showTable(w, columns, rows)
		}
	}
	var rows [][]string
	for _, o := range v.Matrix {
		rows = append(rows, []string{o.Debtor, o.Creditor, fmt.Sprint(o.Payments), o.Gross, o.Currency})
	}
	section("who owes whom, before netting", []column{left("debtor"), left("creditor"), right("payments"), right("gross"), left("")}, rows)
	rows = nil
	for _, n := range v.Nets {
		word := "pays"
		if strings.HasPrefix(n.Net, "-") {
			word = "receives"
		}
		rows = append(rows, []string{n.Participant, n.Debits, n.Credits, word, strings.TrimPrefix(n.Net, "-"), n.Currency})
	}
	section("after netting", []column{left("participant"), right("debits"), right("credits"), left(""), right("net"), left("")}, rows)
	rows = nil
	for _, l := range v.Legs {
		note := ""
		if l.Short {
			note = fmt.Sprintf("refused %d times", l.Tries)
		}
		rows = append(rows, []string{orSettlement(l.Debtor), orSettlement(l.Creditor), l.Amount, l.Settled, l.Due, l.Currency, note})
	}
	section("what moves, and how far it has", []column{left("from"), left("to"), right("amount"), right("settled"), right("due"), left(""), left("")}, rows)
	rows = nil
	for _, i := range v.Instructions {
		rows = append(rows, []string{i.ID, i.Direction, i.Participant, i.Amount, i.Currency})
	}
	section("instructions to the settlement agent, in order", []column{left("id"), left(""), left("participant"), right("amount"), left("")}, rows)
}

func orSettlement(who string) string {
	if who == "" {
		return "(settlement account)"
	}
	return who
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
				var list api.PositionsPage
				return a.show(ctx, c, "/v1/positions", &list, func(w io.Writer) { drawPositions(w, list.Positions) })
			})
		},
	}
	t.flags(ls)
	t.asFlag(ls, false)
	return group(&cobra.Command{
		Use:   "position",
		Short: "See what each participant owes or is owed, its cap, and why",
		Example: `  tongma position ls
  tongma position explain tongbao CNY`,
	}, ls, newPositionExplainCmd(a))
}

func newPositionExplainCmd(a *app) *cobra.Command {
	var t target
	var limit int
	cmd := &cobra.Command{
		Use:   "explain PARTICIPANT CURRENCY",
		Short: "Show the entries behind a position and its holds: they add up to it",
		Example: `  tongma position explain tongbao CNY
  tongma position explain tongbao CNY --limit 1000 --json`,
		Long: "What is settled is over and not among them. Entries before the latest ones are one row.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := currencyOf(args[1])
			if err != nil {
				return err
			}
			return a.with(cmd, &t, func(ctx context.Context, cl *client) error {
				var v desk.PositionView
				path := fmt.Sprintf("/v1/positions/%s/%s/explain?limit=%d", url.PathEscape(args[0]), c.Code(), limit)
				return a.show(ctx, cl, path, &v, func(w io.Writer) { drawExplained(w, &v) })
			})
		},
	}
	t.flags(cmd)
	a.completePosition(cmd, &t)
	t.asFlag(cmd, false)
	cmd.Flags().IntVar(&limit, "limit", 100, "the latest so many entries")
	return cmd
}

func drawPositions(w io.Writer, list []api.Position) {
	var rows [][]string
	for _, p := range list {
		var notes []string
		if p.Suspended {
			notes = append(notes, "suspended")
		}
		if p.Sponsor != "" {
			notes = append(notes, fmt.Sprintf("settles through %s; of its figures %s and %s held are its own", p.Sponsor, p.MemoPosition, p.MemoReserved))
		}
		rows = append(rows, []string{p.Participant, p.Currency, p.Position, p.Reserved, p.Cap, p.Prefunded, p.Available, strings.Join(notes, "; ")})
	}
	showTable(w, []column{left("participant"), left("currency"), right("position"), right("held"), right("cap"), right("prefunded"), right("available"), left("")}, rows)
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
				var v api.Projection
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
	a.completeWindows(cmd, &t)
	return cmd
}

func drawProjection(w io.Writer, v api.Projection) {
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

func drawExplained(w io.Writer, v *desk.PositionView) {
	fmt.Fprintf(w, "%s: position %s, held %s, cap %s, prefunded %s, available %s\n\n", v.Participant, v.Position, v.Reserved, v.Cap, v.Prefunded, v.Available)
	table := v.Table()
	columns := make([]column, len(table[0]))
	for i, name := range table[0] {
		columns[i] = column{name, slices.Contains([]string{"entry", "position", "held", "amount", "sum"}, name)}
	}
	showTable(w, columns, table[1:])
}
