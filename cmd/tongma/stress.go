package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

func newWindowStressCmd(a *app) *cobra.Command {
	var t target
	var failing int
	cmd := &cobra.Command{
		Use:   "stress WINDOW",
		Short: "Show what would happen if a window's largest debtors could not pay",
		Example: `  tongma window stress win_000001
  tongma window stress 1 --failing 3 --json | jq '.results[] | select(.settles | not)'`,
		Long: `Each currency by itself: who would fail, what would be missing, which layers of the rules would find it, and which payments
would roll over. It changes nothing. Exit code 8 says that some currency would not settle and would wait for people.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.aboutWindow(cmd, &t, args[0], func(ctx context.Context, c *client, id tongma.WindowID) error {
				var list api.StressList
				path := fmt.Sprintf("/v1/windows/%s/stress?failing=%d", id, failing)
				if err := a.show(ctx, c, path, &list, func(w io.Writer) { a.drawStress(w, &list) }); err != nil {
					return err
				}
				for _, r := range list.Results {
					if !r.Settles {
						return &exitError{code: exitChecks}
					}
				}
				return nil
			})
		},
	}
	t.flags(cmd)
	a.completeWindows(cmd, &t)
	cmd.Flags().IntVar(&failing, "failing", 2, "how many of the largest debtors fail together, 1 to 100")
	return cmd
}

func (a *app) drawStress(w io.Writer, list *api.StressList) {
	p := a.paint(w)
	if len(list.Results) == 0 {
		fmt.Fprintf(w, "%s: nobody owes anything in it\n", list.Window)
	}
	for i, r := range list.Results {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: if %s failed, %s %s would be missing\n", p.bold(r.Currency), strings.Join(r.Failed, " and "), r.Missing, r.Currency)
		var rows [][]string
		for _, s := range r.Steps {
			rows = append(rows, []string{layerWords[s.Step], s.Short, s.Payer, s.Amount, s.Currency})
		}
		showTable(w, []column{left("  what the rules do"), left("for"), left("paid by"), right("amount"), left("")}, rows)
		if r.Deferred > 0 {
			fmt.Fprintf(w, "  %s of %s %s would roll over to the next window\n", counted(r.Deferred, "payment"), r.Value, r.Currency)
		}
		if r.Settles {
			fmt.Fprintln(w, "  "+p.green("the window would settle"))
		} else {
			fmt.Fprintln(w, "  "+p.red("the window would not settle: the rules end here, and people decide"))
		}
	}
}

// layerWords say the steps of the waterfall to people.
var layerWords = map[string]string{
	"suspend":    "  suspended: no new debits",
	"prefunding": "  its own prefunding pays",
	"guarantee":  "  the guarantee fund pays",
	"share":      "  another participant's share",
	"recast":     "  its last payments roll over",
	"wait":       "  nothing more: it waits for people",
}
