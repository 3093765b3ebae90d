package main

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

func newCapCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "cap",
		Short: "Change net debit caps: one person proposes, another approves",
		Example: `  tongma cap propose tongbao --cap 2000000.00 --currency CNY --by ann
  tongma cap approve 019aab12-... --by ben
  tongma cap ls --waiting`,
	}, newCapProposeCmd(a), newCapCheckCmd(a, "approve", "Put a proposed cap into force"), newCapCheckCmd(a, "reject", "End a proposal: the cap stays"), newCapListCmd(a))
}

func newCapProposeCmd(a *app) *cobra.Command {
	var ch change
	var amount, currency string
	cmd := &cobra.Command{
		Use:   "propose PARTICIPANT",
		Short: "Propose another cap; nothing changes until a second person approves",
		Example: `  tongma cap propose tongbao --cap 2000000.00 --currency CNY --by ann
  tongma cap propose tongbao --cap 0 --currency CNY --by ann --dry-run`,
		Long: `A cap below what is in use is allowed: it blocks new debits only. A cap that was changed meanwhile makes the proposal
stale: it can only be rejected.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := sumOf("--cap", amount, currency)
			if err != nil {
				return err
			}
			return ch.do(cmd, a, "/v1/caps/proposals", api.CapBody{Participant: tongma.ParticipantID(args[0]), Cap: limit})
		},
	}
	ch.flags(cmd, true)
	cmd.Flags().StringVar(&amount, "cap", "", "the cap, in major units, as 500000.00")
	cmd.Flags().StringVar(&currency, "currency", "", "its currency, ISO 4217")
	require(cmd, "cap", "currency")
	completeCurrency(cmd)
	a.completeParticipants(cmd, &ch.t)
	return cmd
}

func newCapCheckCmd(a *app, word, short string) *cobra.Command {
	var ch change
	cmd := &cobra.Command{
		Use:     word + " KEY",
		Short:   short,
		Example: "  tongma cap " + word + " 019aab12-... --by ben",
		Long:    "KEY is the proposal's. Whoever proposed it may not " + word + " it.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := ch.do(cmd, a, "/v1/caps/proposals/"+url.PathEscape(args[0])+"/"+word, nil)
			if reason := tongma.ReasonOf(err); reason == tongma.StateConflict || reason == tongma.CapChanged {
				err = &exitError{code: exitCodeOf(err), err: err, next: []string{"whether it was approved or rejected, and by whom: tongma cap ls"}}
			}
			return err
		},
	}
	ch.flags(cmd, false)
	a.completeProposals(cmd, &ch.t)
	return cmd
}

func newCapListCmd(a *app) *cobra.Command {
	var t target
	var participant string
	var waiting bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List proposed caps, latest first",
		Example: `  tongma cap ls --waiting`,
		Long:    "A proposal is stale when its cap was changed after it was made: it can only be rejected.",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"waiting": {strconv.FormatBool(waiting)}}
			if participant != "" {
				query.Set("participant", participant)
			}
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.CapList
				return a.show(ctx, c, "/v1/caps/proposals?"+query.Encode(), &list, func(w io.Writer) { drawCaps(w, list.Proposals) })
			})
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&participant, "participant", "", "of this one only")
	a.completeFlag(cmd, "participant", &t, participantNames)
	cmd.Flags().BoolVar(&waiting, "waiting", false, "only those that wait for a second person")
	return cmd
}

func drawCaps(w io.Writer, list []desk.CapView) {
	var rows [][]string
	for _, v := range list {
		rows = append(rows, []string{v.Key, string(v.Participant), v.Standing.String(), v.Cap.String(), v.State, v.Maker, v.Checker, stamp(v.ProposedAt)})
	}
	showTable(w, []column{left("key"), left("participant"), right("cap in force"), right("proposed"), left("state"), left("maker"), left("checker"), left("proposed at")}, rows)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
