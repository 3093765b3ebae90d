package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

// disputeWords says what each step of a dispute is, and whose.
var disputeWords = []struct {
	action dispute.Action
	by     string
	short  string
}{
	{dispute.Accept, "the network that was paid", "Give the money back"},
	{dispute.Represent, "the network that was paid", "Answer with evidence that the payment stands"},
	{dispute.PreArbitrate, "the payer's network", "Insist, after the answer"},
	{dispute.Arbitrate, "the network that was paid", "Have the operator rule"},
	{dispute.Withdraw, "the payer's network", "Give it up"},
	{dispute.ProposeUphold, "one person of the operator", "Propose that the money goes back"},
	{dispute.ProposeReject, "one person of the operator", "Propose that the payment stands"},
	{dispute.Approve, "another person of the operator", "Approve the ruling that was proposed"},
	{dispute.Refuse, "another person of the operator", "Refuse it: somebody proposes anew"},
}

func newDisputeCmd(a *app) *cobra.Command {
	children := []*cobra.Command{newDisputeRaiseCmd(a), newDisputeListCmd(a), newDisputeShowCmd(a)}
	for _, w := range disputeWords {
		children = append(children, newDisputeStepCmd(a, w.action, w.by, w.short))
	}
	return group(&cobra.Command{
		Use:   "dispute",
		Short: "Dispute payments, answer, and rule on them",
		Example: `  tongma dispute raise pay_01jd... --reason not-received --as tongbao
  tongma dispute represent pay_01jd... --note "signed by the customer" --as acq-north
  tongma dispute ls --open`,
		Long: "What is disputed cannot be refunded besides: a return and a chargeback of one payment never both pay. Who lets its deadline\npass has given in. Money moves in windows of its own.",
	}, children...)
}

func newDisputeRaiseCmd(a *app) *cobra.Command {
	var ch change
	var body api.DisputeBody
	var amount, currency string
	cmd := &cobra.Command{
		Use:   "raise PAYMENT",
		Short: "Dispute a payment, as the payer's network",
		Example: `  tongma dispute raise pay_01jd... --reason not-received --as tongbao
  tongma dispute raise pay_01jd... --reason paid-twice --amount 2.50 --currency CNY --as tongbao --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if body.Payment, err = tongma.ParsePaymentID(args[0]); err != nil {
				return failf(exitUsage, "%q is no payment: pay_...", clean(args[0]))
			}
			if amount != "" {
				if body.Amount, err = positiveOf("--amount", amount, currency); err != nil {
					return err
				}
			}
			return ch.run(cmd, a, "/v1/disputes", body, a.showDispute)
		},
	}
	ch.flags(cmd, true)
	a.completePayments(cmd, &ch.t)
	ch.t.asFlag(cmd, true)
	f := cmd.Flags()
	f.StringVar(&body.Reason, "reason", "", "a code of the directory's, as not-received")
	f.StringVar(&amount, "amount", "", "in major units; default: all that is left of the payment")
	f.StringVar(&currency, "currency", "", "of the amount, ISO 4217")
	require(cmd, "reason")
	cmd.MarkFlagsMutuallyExclusive("as", "by")
	cmd.MarkFlagsRequiredTogether("amount", "currency")
	completeCurrency(cmd)
	return cmd
}

func newDisputeStepCmd(a *app, action dispute.Action, by, short string) *cobra.Command {
	var ch change
	var note string
	who := " --as acq-north"
	if action >= dispute.ProposeUphold {
		who = " --by ann"
	}
	cmd := &cobra.Command{
		Use:     action.String() + " DISPUTE",
		Short:   short,
		Example: "  tongma dispute " + action.String() + ` pay_01jd... --note "file 4711"` + who,
		Long:    "For " + by + ".",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ch.run(cmd, a, "/v1/disputes/"+url.PathEscape(args[0])+"/"+action.String(), api.NoteBody{Note: note}, a.showDispute)
		},
	}
	ch.flags(cmd, false)
	a.completeDisputes(cmd, &ch.t)
	ch.t.asFlag(cmd, false)
	cmd.MarkFlagsMutuallyExclusive("as", "by")
	cmd.Flags().StringVar(&note, "note", "", "one line: where the evidence is, or why")
	return cmd
}

func (a *app) showDispute(c *client, got reply) error {
	var done desk.DisputeDone
	if err := c.read(got, &done); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) {
		drawDone(w, &done.Done)
		drawDispute(w, &done.Dispute)
	})
	return nil
}

func newDisputeListCmd(a *app) *cobra.Command {
	var t target
	var open bool
	var limit int
	filter := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List disputes, latest first",
		Example: `  tongma dispute ls --open --turn operator
  tongma dispute ls --as tongbao --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}, "open": {strconv.FormatBool(open)}}
			for name, value := range filter {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.DisputeList
				return a.show(ctx, c, "/v1/disputes?"+query.Encode(), &list, func(w io.Writer) { drawDisputes(w, list.Disputes) })
			})
		},
	}
	t.flags(cmd)
	t.asFlag(cmd, false)
	f := cmd.Flags()
	for name, usage := range map[string]string{"participant": "of whom, for the operator", "payment": "about which payment", "stage": "that have come to it", "turn": "that wait for raiser, respondent or operator"} {
		filter[name] = f.String(name, "", usage)
	}
	a.completeFlag(cmd, "participant", &t, participantNames)
	var stages []string
	for _, s := range dispute.Stages() {
		stages = append(stages, s.String())
	}
	choices(cmd, "stage", stages...)
	choices(cmd, "turn", "raiser", "respondent", "operator")
	f.BoolVar(&open, "open", false, "only those that are not over")
	f.IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

func drawDisputes(w io.Writer, list []desk.DisputeView) {
	var rows [][]string
	for _, v := range list {
		rows = append(rows, []string{v.ID.String(), v.Payment.String(), string(v.Raiser), string(v.Respondent), v.Amount.String(), v.Reason, v.Stage.String(), v.Turn, stamp(v.Deadline)})
	}
	showTable(w, []column{left("dispute"), left("payment"), left("raiser"), left("respondent"), right("amount"), left("reason"), left("stage"), left("waits for"), left("until")}, rows)
}

func newDisputeShowCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "show DISPUTE",
		Short:   "Show how a dispute stands, its steps and their evidence, and what happened to the money",
		Example: "  tongma dispute show pay_01jd...\n  tongma dispute show pay_01jd... --as acq-north --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var v desk.DisputeView
				return a.show(ctx, c, "/v1/disputes/"+url.PathEscape(args[0]), &v, func(w io.Writer) { drawDispute(w, &v) })
			})
		},
	}
	t.flags(cmd)
	a.completeDisputes(cmd, &t)
	t.asFlag(cmd, false)
	return cmd
}

func drawDispute(w io.Writer, v *desk.DisputeView) {
	fmt.Fprintf(w, "%s  %s  %s of %s\n", v.ID, v.Stage, v.Amount, v.Payment)
	fmt.Fprintf(w, "  %s against %s: %s\n", v.Raiser, v.Respondent, strings.TrimSpace(v.Reason+"  "+v.Title))
	if v.Turn != "" {
		fmt.Fprintf(w, "  waits for the %s until %s\n", v.Turn, stamp(v.Deadline))
	}
	if v.Window != 0 {
		fmt.Fprintf(w, "  goes back in %s\n", v.Window)
	}
	fmt.Fprintln(w, "  money: "+v.Money)
	if v.StepsUnread != "" {
		fmt.Fprintln(w, "  steps: "+v.StepsUnread)
	}
	if len(v.Steps) == 0 {
		return
	}
	var rows [][]string
	for _, m := range v.Steps {
		rows = append(rows, []string{strconv.FormatUint(m.Entry, 10), stamp(m.At), m.Stage.String(), strings.TrimSpace(m.By + "  " + m.Person), m.Note})
	}
	fmt.Fprintln(w)
	showTable(w, []column{right("entry"), left("at"), left("came to"), left("by"), left("evidence, or why")}, rows)
}
