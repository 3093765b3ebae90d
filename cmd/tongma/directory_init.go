package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/schemes"
)

func newDirectoryInitCmd(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Write the sandbox market's directory, to begin with",
		Example: "  tongma directory init --out market.yaml",
		Long:    "An existing file is not overwritten. The participants in it are made up, and so is their settlement agent.",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				a.print(struct {
					Directory string `json:"directory"`
				}{string(schemes.Sandbox())}, func(w io.Writer) { _, _ = w.Write(schemes.Sandbox()) })
				return nil
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, os.ErrExist) {
				return failf(exitConflict, "%s exists", out)
			}
			if err != nil {
				return fileError(err)
			}
			_, err = f.Write(schemes.Sandbox())
			if err := errors.Join(err, f.Close()); err != nil {
				return fileError(err)
			}
			a.say("written: %s", out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write to this new file instead of stdout")
	return cmd
}
