-- ends: error the error is no text
-- SPDX-License-Identifier: Apache-2.0
error(error)
return {}
