package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/clearing/journal"
)

func newServeCmd(*app) *cobra.Command   { return &cobra.Command{Use: "serve", Hidden: true} }
func newDemoCmd(*app) *cobra.Command    { return &cobra.Command{Use: "demo", Hidden: true} }
func newSandboxCmd(*app) *cobra.Command { return &cobra.Command{Use: "sandbox", Hidden: true} }

func openStore(string) (journal.Store, func(), error) {
	return nil, nil, errors.New("no store in this build")
}
