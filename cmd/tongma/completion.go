package main

import (
	"github.com/spf13/cobra"
)

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
