package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

func newParticipantCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "participant",
		Short: "Suspend and resume participants, and book their prefunding",
		Example: `  tongma participant ls
  tongma participant suspend tongbao --why "did not pay window 12" --by ann
  tongma participant deposit tongbao --amount 50000.00 --currency CNY --ref STMT-4711`,
	}, newParticipantListCmd(a),
		newStandingCmd(a, "suspend", "Block a participant's debits", "Its credits, and what is held already, go on."),
		newStandingCmd(a, "resume", "Allow a participant's debits again", "One that the directory suspends is resumed there."),
		newMoveCmd(a),
		newFundsCmd(a, "deposit", "deposits", "Book prefunding that came in", "It adds to what the participant may debit."),
		newFundsCmd(a, "withdraw", "withdrawals", "Book prefunding as going out", "Before it is paid: what is booked out cannot be debited against."))
}

func newParticipantListCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the directory's participants, and who may not debit",
		Example: `  tongma participant ls --json | jq '.participants[] | select(.suspended)'`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, &t, func(ctx context.Context, c *client) error {
				var list api.ParticipantList
				return a.show(ctx, c, "/v1/participants", &list, func(w io.Writer) { drawParticipants(w, list.Participants) })
			})
		},
	}
	t.flags(cmd)
	return cmd
}

func drawParticipants(w io.Writer, list []desk.ParticipantView) {
	var rows [][]string
	for _, v := range list {
		state := "takes part"
		if v.Suspended {
			state = "suspended"
		}
		rows = append(rows, []string{string(v.Participant), v.Name, state, stamp(v.Since), v.By, v.Why})
	}
	showTable(w, []column{left("participant"), left("name"), left("debits"), left("since"), left("by"), left("why")}, rows)
}

func newStandingCmd(a *app, word, short, long string) *cobra.Command {
	var ch change
	var why string
	cmd := &cobra.Command{
		Use:     word + " PARTICIPANT",
		Short:   short,
		Example: "  tongma participant " + word + ` tongbao --why "told by the regulator" --by ann`,
		Long:    long + " Who decided, and why, is in the journal.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := participantPath(args[0], word)
			if err != nil {
				return err
			}
			return ch.do(cmd, a, path, api.WhyBody{Why: why})
		},
	}
	ch.flags(cmd, false)
	a.completeParticipants(cmd, &ch.t)
	cmd.Flags().StringVar(&why, "why", "", "one line of up to 64 bytes, for the journal and the participant")
	require(cmd, "why")
	return cmd
}

func newFundsCmd(a *app, word, resource, short, long string) *cobra.Command {
	var ch change
	var amount, currency, ref string
	cmd := &cobra.Command{
		Use:     word + " PARTICIPANT",
		Short:   short,
		Example: "  tongma participant " + word + " tongbao --amount 50000.00 --currency CNY --ref STMT-4711",
		Long:    long,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := participantPath(args[0], resource)
			if err != nil {
				return err
			}
			m, err := positiveOf("--amount", amount, currency)
			if err != nil {
				return err
			}
			return ch.do(cmd, a, path, api.FundsBody{Amount: m, Ref: ref})
		},
	}
	ch.flags(cmd, true)
	a.completeParticipants(cmd, &ch.t)
	cmd.Flags().StringVar(&amount, "amount", "", "in major units, as 50000.00")
	cmd.Flags().StringVar(&currency, "currency", "", "ISO 4217")
	cmd.Flags().StringVar(&ref, "ref", "", "reference of the settlement agent")
	require(cmd, "amount", "currency")
	completeCurrency(cmd)
	return cmd
}
