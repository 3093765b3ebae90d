package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

// completeWithin is how long a shell waits for names from a switch.
const completeWithin = time.Second

// complete offers the shell names that a running switch knows, each with a word on it
// behind a tab, for as many arguments as the command takes. A switch that is not
// there, or slow, has none.
func (a *app) complete(cmd *cobra.Command, t *target, most int, names func(ctx context.Context, c *client) []string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.ask(t, names), cobra.ShellCompDirectiveNoFileComp
	}
}

// ask has a switch asked for names, and does not wait long.
func (a *app) ask(t *target, names func(ctx context.Context, c *client) []string) (found []string) {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	as := *t
	as.must = false // without --as the operator is asked
	if c, err := a.connect(&as); err == nil {
		found = names(ctx, c)
		c.http.CloseIdleConnections()
	}
	return found
}

// named asks a switch for a list, and names each of it. Without an answer there are none.
func named[List any](path string, names func(*List) []string) func(context.Context, *client) []string {
	return func(ctx context.Context, c *client) []string {
		var list List
		_ = c.get(ctx, path, &list) // without an answer it is empty
		return names(&list)
	}
}

// each makes a name of every one of a list.
func each[T any](list []T, name func(*T) string) (names []string) {
	for i := range list {
		names = append(names, name(&list[i]))
	}
	return names
}

// Names that are offered as arguments, and to flags.
var (
	windowNames = named("/v1/windows?limit=50", func(p *api.WindowsPage) []string {
		return each(p.Windows, func(w *api.Window) string { return w.Window + "\t" + w.State + " " + w.Model })
	})
	participantNames = named("/v1/participants", func(l *api.ParticipantList) []string {
		return each(l.Participants, func(v *desk.ParticipantView) string { return string(v.Participant) + "\t" + v.Name })
	})
)

// completeFlag offers names that a running switch knows to a flag.
func (a *app) completeFlag(cmd *cobra.Command, flag string, t *target, names func(ctx context.Context, c *client) []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.ask(t, names), cobra.ShellCompDirectiveNoFileComp
	})
}

func (a *app) completeWindows(cmd *cobra.Command, t *target) { a.complete(cmd, t, 1, windowNames) }

func (a *app) completePayments(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, named("/v1/payments?limit=50", func(p *api.PaymentList) []string {
		return each(p.Payments, func(v *api.PaymentView) string {
			return v.Payment + "\t" + strings.Join([]string{v.Operation, v.Status, v.Amount, v.Currency, v.Debtor, v.Creditor}, " ")
		})
	}))
}

func (a *app) completeParticipants(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, participantNames)
}

func (a *app) completeDisputes(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, named("/v1/disputes?limit=50", func(l *api.DisputeList) []string {
		return each(l.Disputes, func(v *desk.DisputeView) string {
			return v.ID.String() + "\t" + v.Stage.String() + " " + v.Amount.String() + " " + string(v.Raiser) + " " + string(v.Respondent)
		})
	}))
}

func (a *app) completeProposals(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, named("/v1/caps/proposals?waiting=true", func(l *api.CapList) []string {
		return each(l.Proposals, func(v *desk.CapView) string {
			return v.Key + "\t" + string(v.Participant) + " " + v.Cap.String() + " by " + v.Maker
		})
	}))
}

func (a *app) completeBreaks(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, named("/v1/recon/breaks?state=open", func(l *api.BreakList) []string {
		return each(l.Breaks, func(b *recon.Break) string {
			return b.ID + "\t" + b.Kind.String() + " " + string(b.Participant) + " " + b.AtRisk.String()
		})
	}))
}

// completePosition offers participants, and then currencies.
func (a *app) completePosition(cmd *cobra.Command, t *target) {
	a.completeParticipants(cmd, t)
	who := cmd.ValidArgsFunction
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return currencyCodes(), cobra.ShellCompDirectiveNoFileComp
		}
		return who(cmd, args, begun)
	}
}

// completeModels offers the settlement models to --model.
func (a *app) completeModels(cmd *cobra.Command, t *target) {
	a.completeFlag(cmd, "model", t, named("/v1/models", func(l *api.ModelList) []string {
		named := slices.DeleteFunc(l.Models, func(m api.ModelView) bool { return m.Model == "" })
		return each(named, func(m *api.ModelView) string { return m.Model + "\t" + m.Method + " " + m.Open })
	}))
}

// choices offers the values of a flag that takes few.
func choices(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	})
}

// newCompletionCmd writes the completion script of a shell.
func newCompletionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write the completion script of a shell",
		Example: `  source <(tongma completion bash)
  tongma completion zsh > "${fpath[1]}/_tongma"
  tongma completion fish > ~/.config/fish/completions/tongma.fish`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.out)
			case "fish":
				return cmd.Root().GenFishCompletion(a.out, true)
			}
			return cmd.Root().GenPowerShellCompletionWithDesc(a.out)
		},
	}
}
