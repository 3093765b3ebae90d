package main

import "github.com/spf13/cobra"

func newAuditCmd(*app) *cobra.Command     { return &cobra.Command{Use: "audit"} }
func newJournalCmd(*app) *cobra.Command   { return &cobra.Command{Use: "journal"} }
func newDirectoryCmd(*app) *cobra.Command { return &cobra.Command{Use: "directory"} }
