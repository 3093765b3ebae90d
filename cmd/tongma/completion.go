package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/switch/api"
)

// completeWithin is how long a shell waits for names from a switch.
const completeWithin = time.Second

// complete offers the shell names that a running switch knows, each with a word on it
// behind a tab, for as many arguments as the command takes. A switch that is not
// there, or slow, has none.
func (a *app) complete(cmd *cobra.Command, t *target, most int, names func(ctx context.Context, c *client) []string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var found []string
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		if c, err := a.connect(t); err == nil {
			found = names(ctx, c)
			c.http.CloseIdleConnections()
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) completeWindows(cmd *cobra.Command, t *target) {
	a.complete(cmd, t, 1, func(ctx context.Context, c *client) (names []string) {
		var page api.WindowsPage
		_ = c.get(ctx, "/v1/windows?limit=50", &page) // without an answer there are none
		for _, w := range page.Windows {
			names = append(names, w.Window+"\t"+w.State+" "+w.Model)
		}
		return names
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
