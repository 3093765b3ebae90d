package main

import "github.com/spf13/cobra"

func newCodeCmd(*app) *cobra.Command      { return &cobra.Command{Use: "code"} }
func newErrorsCmd(*app) *cobra.Command    { return &cobra.Command{Use: "errors"} }
func newPayCmd(*app) *cobra.Command       { return &cobra.Command{Use: "pay"} }
func newTransferCmd(*app) *cobra.Command  { return &cobra.Command{Use: "transfer"} }
func newResolveCmd(*app) *cobra.Command   { return &cobra.Command{Use: "resolve"} }
func newWindowCmd(*app) *cobra.Command    { return &cobra.Command{Use: "window"} }
func newPositionCmd(*app) *cobra.Command  { return &cobra.Command{Use: "position"} }
func newAuditCmd(*app) *cobra.Command     { return &cobra.Command{Use: "audit"} }
func newJournalCmd(*app) *cobra.Command   { return &cobra.Command{Use: "journal"} }
func newConfigCmd(*app) *cobra.Command    { return &cobra.Command{Use: "config"} }
func newDirectoryCmd(*app) *cobra.Command { return &cobra.Command{Use: "directory"} }
func newVersionCmd(*app) *cobra.Command   { return &cobra.Command{Use: "version"} }
