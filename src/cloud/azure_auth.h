/* SPDX-License-Identifier: PostgreSQL
 * Where an Azure storage account is, and as whom we come: by the account's key, by a signature that
 * somebody made for us (SAS), or with a token of Entra ID. */
#ifndef WALDEN_CLOUD_AZURE_AUTH_H
#define WALDEN_CLOUD_AZURE_AUTH_H

#include "cloud/azure_token.h"

typedef struct AzureAccount {
    char *name;
    char *endpoint; /* "https://NAME.blob.core.windows.net", "http://HOST:PORT/NAME" */
    char *key;      /* in base64, or: */
    char *sas;      /* parameters, without '?'; or: */
    AzureTokens *tokens;
} AzureAccount;

/* Finds credentials, in Barman's order: `credential` ("managed-identity", "azure-cli", "default")
 * if it is not NULL, AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_KEY,
 * then whoever gives tokens. A connection string may name another account and endpoint. Nothing is
 * sent yet. ERR_CONFIG. */
int azure_account_open(const char *name, const char *endpoint, const char *credential, Http *http,
                       AzureAccount **ret_account);
void azure_account_free(AzureAccount *account);
AUTO_DEFINE(azure_account, AzureAccount *, azure_account_free)

/* Name, endpoint and key or signature out of a connection string, in place of what the account has.
 * ERR_CONFIG; the message does not have the string. */
int azure_connection_parse(const char *text, AzureAccount *account);

/* Adds what is needed to be let in: headers, among them date and version, or parameters. path: that
 * of the URL, encoded as it is sent; query: name, value, name, value..., not encoded. *ret_token is
 * the token that was used, NULL for none; free it. */
int azure_authorize(AzureAccount *account, const char *method, const char *path, StrList *query,
                    StrList *headers, size_t body_size, int64_t deadline, char **ret_token);

#endif
